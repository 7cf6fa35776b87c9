"""Models of a job that an executor makes: each is a function call, and whoever submitted them waits for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from obliviate.errors import ObliviateError, TrainingError
from obliviate.references.executors.protocol import Executor, Pending
from obliviate.references.jobs import JOB, Job, make_elsewhere
from obliviate.training.run import TICK

PATIENCE: Final = 10.0  # seconds that models in the making are given to stop


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
