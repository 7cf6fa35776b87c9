"""All models of a job: those that are missing are made here, in local processes, or by an executor that is given."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from obliviate._util.files import WORK, remove_leftovers
from obliviate._util.locks import locked
from obliviate.errors import AuditError, RecipeError, WorkspaceError
from obliviate.references.executors.protocol import Executor
from obliviate.references.handover import remove_samples
from obliviate.references.jobs import JOB, Job, make
from obliviate.references.processes import make_by_processes, pass_on_notes
from obliviate.references.records import is_finished
from obliviate.references.submission import make_by_executor
from obliviate.training.device import chosen
from obliviate.training.progress import Progress, silent


def check_makers(workers: int | None, executor: Executor | None) -> None:
    """Refuse workers and an executor at once; raises AuditError.

    >>> check_makers(2, None)
    """
    if executor is not None and workers is not None:
        raise AuditError(f"expected workers or an executor, got workers={workers} and an executor; leave one out")


def complete(
    job: Job,
    folder: Path,
    models: int,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> None:
    """Make those of the models 0 … `models` − 1 that are not yet there, where nobody else may be working.

    The job is put into `folder`; the models lie where it says (`Job.folders`).

    `workers` local processes work side by side, one thread each; 0 works in this process, which is the default on a
    GPU and for a job that other processes cannot do. An `executor` is given every model as a function call; its
    processes must see `folder`.

    Raises RecipeError or MethodError, before any work, for a job that other processes cannot do; AuditError for both
    workers and an executor; WorkspaceError when another process works in the folder; TrainingError for a failure.
    """
    check_makers(workers, executor)
    count = _workers(job, workers, executor)

    def missing() -> list[int]:
        return [member for member in range(models) if not job.is_finished(folder, member)]

    def report() -> None:
        progress(job.stage, models - len(missing()), models)

    places = sorted({folder, *job.folders(folder)})
    if not missing():
        for place in places:
            with (
                suppress(WorkspaceError),
                locked(place, patience=0),
            ):  # another process that is at work there sweeps itself
                _sweep(place)
        return
    with ExitStack() as stack:
        locks = [stack.enter_context(locked(place)) for place in places]
        for place in places:
            _sweep(place)
        members = missing()
        report()
        try:
            if executor is not None:
                make_by_executor(executor, job, folder, members, report)
            elif count:
                make_by_processes(job, folder, members, min(count, len(members)), report, locks)
            else:
                for member in members:
                    make(job, folder, member)
                    report()
        finally:  # whatever happened, no copy of the samples stays; it is written again when it is needed
            (folder / JOB).unlink(missing_ok=True)
            remove_samples(folder)
        for place in places:
            _sweep(place)
        pass_on_notes(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left, but not what unfinished models need to go on."""
    (folder / JOB).unlink(missing_ok=True)
    remove_samples(folder)
    remove_leftovers(folder)
    for lock in (folder / WORK).glob("*.lock"):
        lock.unlink()
    for work in sorted((folder / WORK).glob("*")):
        kind, _, member = work.name.rpartition("-")
        if member.isdecimal() and is_finished(folder, kind, int(member)):
            shutil.rmtree(work)
    if (folder / WORK).exists() and not any((folder / WORK).iterdir()):
        (folder / WORK).rmdir()


def _workers(job: Job, asked: int | None, executor: Executor | None) -> int:
    problem = job.portable
    if (asked or executor is not None) and problem is not None:
        raise RecipeError(problem)
    if asked is None:
        return (os.cpu_count() or 1) if problem is None and chosen().type == "cpu" else 0
    return asked
