"""Executors that are given: what is asked of them, and one that a function of the user's makes by its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from obliviate._util.imports import imported
from obliviate.errors import AuditError, ObliviateError, TrainingError
from obliviate.references.jobs import JOB, Job, make_elsewhere
from obliviate.training.run import TICK

PATIENCE: Final = 10.0  # seconds that models in the making are given to stop
REMEDY: Final = "name a function without arguments that returns one, as module:function"


@runtime_checkable
class Pending(Protocol):
    """A result to come, as `concurrent.futures.Future` is."""

    def done(self) -> bool: ...

    def result(self) -> object: ...

    def cancel(self) -> object: ...


@runtime_checkable
class Executor(Protocol):
    """Whoever runs a function somewhere, as `concurrent.futures.Executor` does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending: ...


def make_by_executor(
    executor: Executor, job: Job, folder: Path, members: list[int], report: Callable[[], None]
) -> None:
    """Give every model to an executor as a function call, and wait for all; raises TrainingError for a failure."""
    sha256 = job.write(folder)
    pending = [executor.submit(make_elsewhere, str(folder.absolute()), sha256, member) for member in members]
    try:
        while True:
            waiting = [result for result in pending if not result.done()]
            for member, result in zip(members, pending, strict=True):
                if result.done():
                    _refuse_failure(job, member, result)
            report()
            if not waiting:
                return
            time.sleep(TICK)
    finally:
        for result in pending:
            result.cancel()
        (folder / JOB).unlink(missing_ok=True)  # which stops those that have begun
        until = time.monotonic() + PATIENCE
        while not all(result.done() for result in pending) and time.monotonic() < until:
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


@contextmanager
def opened(name: str | None) -> Iterator[Executor | None]:
    """Call the function "module:function" for an executor, and shut it down in the end if it is a context manager.

    None gives None. Raises AuditError where the function cannot be imported or called, or returns no executor.

    >>> with opened("concurrent.futures:ThreadPoolExecutor") as executor:
    ...     executor.submit(sum, [1, 2]).result()
    3
    """
    if name is None:
        yield None
        return
    returned = _returned_by(name)
    with returned if isinstance(returned, AbstractContextManager) else nullcontext(returned) as executor:
        if not isinstance(executor, Executor):
            raise AuditError(f"expected an executor with `submit`, got {type(executor).__name__} from {name}; {REMEDY}")
        yield executor


def _returned_by(name: str) -> Any:
    try:
        make: Callable[[], Any] = imported(name)
    except ImportError as error:
        raise AuditError(
            f"expected an executor, got {name!r}, which cannot be imported ({error}); {REMEDY}, and run from "
            "its folder or install its package"
        ) from error
    if not callable(make):
        raise AuditError(f"expected an executor, got {name!r}, which is no function; {REMEDY}")
    try:
        return make()
    except Exception as error:  # whatever a cluster's client raises
        raise AuditError(
            f"expected an executor, got a failure of {name} ({type(error).__name__}: {error}); {REMEDY}"
        ) from error
