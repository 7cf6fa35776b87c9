"""Make a model forget."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from obliviate.audit.inputs import Role
from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split, refuse_copies
from obliviate.errors import DataError, MethodError, TrainingError
from obliviate.methods import check_task
from obliviate.methods.base import Method, check_needs, settle
from obliviate.methods.retrain import Retrain
from obliviate.task import Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.workflow.models import Trained

COPIES: Final = "copies_retained"
"""The note of a model that says how many retained samples are copies of those that it was made to forget."""


def unlearn(
    model: nn.Module,
    split: Split,
    method: Method,
    task: Task,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    name: str = "",
) -> Trained:
    """Make a copy of the model forget; the model that is passed in is never changed.

    With a `folder`, an interrupted run resumes there; the folder must belong to this method, model, split and seed.
    `checkpoints` is the folder where `train` and earlier requests left the slice checkpoints that `sisa` needs.

    Raises MethodError, before any work, when the method needs what the split or the recipe does not give, and
    afterwards when no weight has changed; DataError and RecipeError for data or a model that do not fit the task;
    TrainingError when the loss or the weights are not finite. Where copies of forget samples are retained under other
    names (`Split.copies`), the note "copies_retained" says how many.
    """
    run = Run(task, seed=seed, recipe=recipe, folder=folder, checkpoints=checkpoints, progress=progress)
    method = check_request(method, split, run)
    task.check_model(model, split.forget)
    before = weights_sha256(model)
    started = time.monotonic()
    private = run.precision.prepare(copy.deepcopy(model))
    unlearned = method(private, split, run).eval()
    if not all(bool(torch.isfinite(one).all()) for one in unlearned.parameters()):
        raise TrainingError(f"expected finite weights, got NaN or Inf after {method!r}; lower the learning rate")
    if not bool(torch.isfinite(outputs(unlearned, split.forget.select(split.forget.ids[:64]))).all()):
        raise TrainingError(f"expected finite outputs, got NaN or Inf after {method!r}; lower the learning rate")
    if weights_sha256(unlearned) == before:
        raise MethodError(
            f"expected {method.name} to change the model, got the same weights; raise its learning rate or its epochs"
        )
    role: Role = "retrained" if isinstance(method, Retrain) else "unlearned"  # the audit's yardstick, and no other
    seconds = max(run.seconds, time.monotonic() - started)
    copies = 0 if split.retain is None else len(split.copies)
    notes = dict(run.notes) | ({COPIES: float(copies)} if copies else {})
    return Trained(unlearned, role, repr(method), seed, seconds, notes, name)


def check_request(method: Method, split: Split, run: Run) -> Method:
    """Refuse, before any work, a method, a task and samples that do not go together; return the method as it would run.

    Its hyperparameters that depend on the split are filled in. Raises MethodError and DataError.
    """
    check_task(method, run.task)
    check_needs(method, split, run)
    method = settle(method, split)
    _check_split(split, run.task)
    return method


def _check_split(split: Split, task: Task) -> None:
    """Refuse sets that are not of the task, of one shape, and apart from each other; raises DataError."""

    def shape(samples: Samples) -> tuple[int, ...]:
        return tuple(samples.take(torch.arange(1)).x.shape[1:])

    sets = {"forget set": split.forget, "retain set": split.retain, "reference set": split.reference}
    for what, samples in sets.items():
        if samples is None:
            continue
        if shape(samples) != shape(split.forget):
            raise DataError(
                f"expected samples of one shape, got {shape(split.forget)} to forget and {shape(samples)} in the "
                f"{what}; resize them"
            )
        task.check_samples(samples, what=what)
    if split.retain is not None and len(shared := np.intersect1d(split.forget.ids, split.retain.ids)):
        raise DataError(
            f"expected a retain set without the samples to forget, got {shown(shared)} in both; use `Split.of`"
        )
    if split.reference is not None:
        trained = [one for one in (split.forget, split.retain) if one is not None]
        if len(shared := np.intersect1d(split.reference.ids, np.concatenate([one.ids for one in trained]))):
            raise DataError(
                f"expected a reference set that was never trained on, got {shown(shared)} of the training set; "
                "use samples that the model has not seen"
            )
        refuse_copies(split.reference, *trained, what="reference samples")
