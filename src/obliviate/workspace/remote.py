"""Unlearned and retrained models of a folder, made by an executor in processes that see it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from obliviate._util.locks import lent
from obliviate.errors import MethodError, ObliviateError, RecipeError, TrainingError, WorkspaceError
from obliviate.references.executors.protocol import Executor, Pending
from obliviate.references.jobs import pickled
from obliviate.training.compute import Compute
from obliviate.training.progress import TICK
from obliviate.training.randomness import one_thread
from obliviate.workspace import making
from obliviate.workspace.contents import Contents
from obliviate.workspace.evidence import Makers
from obliviate.workspace.making import Unlearning
from obliviate.workspace.origin import Origin


def prepare(contents: Contents, number: int, asked: Sequence[Unlearning], executor: Executor) -> None:
    """Have those models of a request made elsewhere that are missing; `making.unlearn` then takes them as they are.

    Each is one call, by one thread, which names the folder: data are read from their source there. Teachers are trained
    first, by the executor too. The folder must be held.

    Raises, before any work, RecipeError for a model or a method that other processes cannot import, and MethodError for
    a budget, which is measured where it is spent; TrainingError for a failure of the executor.
    """
    if any(unlearning.budget is not None for unlearning in asked):
        raise MethodError("expected a budget or an executor, got both; a budget is measured here, leave out one")
    missing = [unlearning for unlearning in asked if making.is_missing(contents, number, unlearning)]
    if not missing:
        return
    data = contents.origin.data
    # Where rows were erased, their source no longer tells which these are: what is left of it goes along.
    origin = contents.origin if len(data.erased) else replace(contents.origin, loaded=None)
    if not contents.origin.recipe.importable or not pickled((origin, missing)):
        raise RecipeError(
            f"expected a model and a method that other processes can import, got {contents.origin.recipe.model_name} "
            f"and {missing[0].method!r}; define them at the top level of a module, or leave out the executor"
        )
    for unlearning in missing:
        if unlearning.teachers:
            making.teachers(contents, unlearning.teachers, Makers(executor=executor))
    handle, wanted = tempfile.mkstemp(prefix=".elsewhere.", dir=contents.folder)
    os.close(handle)
    pending: dict[str, Pending] = {}
    try:
        for unlearning in missing:
            place = str(contents.folder.absolute()), Path(wanted).name
            arguments = origin, data.sha256, number, unlearning, Compute.current()
            pending[unlearning.label(number)] = executor.submit(make_elsewhere, *place, *arguments)
        waiting = dict(pending)
        while waiting:
            for label, result in list(waiting.items()):
                if result.done():
                    _refuse_failure(label, result)
                    del waiting[label]
            contents.progress("models elsewhere", len(pending) - len(waiting), len(pending))
            time.sleep(TICK)
    finally:
        Path(wanted).unlink(missing_ok=True)  # which stops those that have begun
        for result in pending.values():
            result.cancel()


def _refuse_failure(label: str, finished: Pending) -> None:
    try:
        finished.result()
    except ObliviateError:
        raise
    except Exception as error:  # executors raise types of their own, with no common base
        raise TrainingError(
            f"expected {label} to be made, got a failure of the executor ({type(error).__name__}: {error}); mend its "
            "cause and begin again: what is done is kept"
        ) from error


def make_elsewhere(
    folder: str, wanted: str, origin: Origin, data_sha256: str, number: int, asked: Unlearning, compute: Compute
) -> None:
    """Make one model in a folder that another process holds, and leave it there: what an executor is given.

    It stops where it is when the file `wanted` is taken away.
    """
    place = Path(folder)

    def stop_if_unwanted(stage: str, done: float, total: float) -> None:  # noqa: ARG001
        if not (place / wanted).exists():
            raise WorkspaceError("expected work that is still wanted, got none; whoever began it has stopped")

    stop_if_unwanted("", 0, 1)
    if origin.data.sha256 != data_sha256:
        raise WorkspaceError(
            f"expected the data of {folder} in {origin.source}, got others here; name them by a path that all machines "
            "see"
        )
    contents = Contents(place, origin, stop_if_unwanted)
    with compute.used(), one_thread(), lent(place), contents.reading_once():
        making.leave(contents, number, asked)
