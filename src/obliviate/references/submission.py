"""Models of a job that an executor makes: each is a function call, and whoever submitted them waits for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from obliviate.errors import AuditError, ObliviateError, TrainingError
from obliviate.references.exchange import Exchange, Exchanging
from obliviate.references.executors.protocol import Executor, Pending
from obliviate.references.jobs import JOB, Job, make_elsewhere
from obliviate.training.progress import TICK

PATIENCE: Final = 10.0  # seconds that models in the making are given to stop


def make_by_executor(
    executor: Executor, job: Job, folder: Path, members: list[int], report: Callable[[], None]
) -> None:
    """Give every model to an executor as a function call, and wait for all.

    Raises TrainingError for a failure; AuditError for shadows through an exchange.
    """
    if isinstance(executor, Exchanging) and not job.self_contained:
        raise AuditError(
            f"expected references to be made through an exchange, got {job.stage}, which read the references' weights; "
            "use machines that share the folder"
        )
    sha256 = job.write(folder)
    with ExitStack() as stack:
        exchange: Exchange | None = None
        if isinstance(executor, Exchanging):
            exchange = stack.enter_context(Exchange.of(job, folder, sha256, executor.url))
        pending = dict[int, Pending]()
        stack.enter_context(_stopped(pending, folder, exchange))
        for member in members:
            if exchange is None:
                pending[member] = executor.submit(make_elsewhere, str(folder.absolute()), sha256, member)
            else:
                pending[member] = exchange.submit(executor, sha256, member)
        waiting = dict(pending)
        while True:
            for member, result in list(waiting.items()):
                if result.done():
                    _refuse_failure(job, member, result)
                    if exchange is not None:
                        exchange.bring_home(member)
                    del waiting[member]
            report()
            if not waiting:
                return
            time.sleep(TICK)


@contextmanager
def _stopped(pending: Mapping[int, Pending], folder: Path, exchange: Exchange | None) -> Iterator[None]:
    """Call off in the end what is not done, and wait a while for what has begun to stop."""
    try:
        yield
    finally:
        for result in pending.values():
            result.cancel()
        (folder / JOB).unlink(missing_ok=True)  # which stops those that have begun
        if exchange is not None:
            exchange.call_off()
        until = time.monotonic() + PATIENCE
        while not all(result.done() for result in pending.values()) and time.monotonic() < until:
            time.sleep(TICK)


def _refuse_failure(job: Job, member: int, finished: Pending) -> None:
    try:
        finished.result()
    except ObliviateError:
        raise
    except Exception as error:  # executors such as dask's and ray's raise types of their own, with no common base
        raise TrainingError(
            f"expected all {job.stage} to be made, got a failure ({type(error).__name__}: {error}) of the executor in "
            f"{job.kind} {member}; mend its cause and begin again: what is done is kept"
        ) from error
