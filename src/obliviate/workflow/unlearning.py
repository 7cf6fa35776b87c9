"""Make a model forget."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
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
from obliviate.references.pool import ReferencePool
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.determinism import repeatable
from obliviate.training.identity import refuse_same_model
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.training.teachers import Teachers
from obliviate.workflow import effect as effects
from obliviate.workflow.effect import Effect
from obliviate.workflow.fresh import check_fresh
from obliviate.workflow.models import TrainedModel

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
    unseen: Samples | None = None,
    retained: Samples | None = None,
    measure: bool = True,
    teachers: ReferencePool | Teachers | None = None,
) -> TrainedModel:
    """Make a copy of the model forget; the model that is passed in is never changed.

    `TrainedModel.effect` tells the utility of the model before and after on forget, retained and unseen samples, at
    most 2,000 of each, drawn by the seed; `measure=False` spares that. `unseen` are samples for measuring alone, the
    holdout set if left out; so are `retained`, for a split without a retain set. The method sees neither.
    `TrainedModel.seconds` is the time of the method, without checks, measuring and what a process does once.

    Relative settings of the method (docs/methods/README.md) are multiples and shares of the recipe's; without a recipe
    of what `training.scale` finds, and the note "found_learning_rate" says which. The time of that search counts.

    With a `folder`, an interrupted run resumes there; the folder must belong to this method, model, split and seed.
    `teachers` is the pool that a method such as `never_seen` learns from, which no audit of its model may rest on.

    `checkpoints` is the folder where `train` and earlier requests left the slice checkpoints that `sisa` needs.

    Where the method trains a fresh model, the recipe's builder must return a new one at each call, and none that knows
    the samples to forget; the latter is told by the split's holdout set (`check_fresh`), and not without one.

    Raises MethodError, before any work, when the method needs what the split or the recipe does not give, and
    afterwards when no weight has changed; DataError and RecipeError for data or a model that do not fit the task, and
    RecipeError for such a builder; TrainingError when the loss or the weights are not finite. Where copies of forget
    samples are retained under other names (`Split.copies`), the note "copies_retained" says how many.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> task, recipe = ob.task_of(data), ob.recipe_for(data, epochs=2)
    >>> original = ob.train(recipe, data.train, task)
    >>> split = ob.Split.of(data.train, forget=data.train.ids[:10])
    >>> unlearned = ob.unlearn(original.model, split, ob.FineTune(epochs=1), task, recipe=recipe)
    >>> unlearned.role, unlearned.method[:18]
    ('unlearned', 'FineTune(epochs=1,')
    """
    run = Run(
        task,
        seed=seed,
        recipe=recipe,
        folder=folder,
        checkpoints=checkpoints,
        progress=progress,
        teachers=PoolTeachers.of(teachers, recipe, task) if isinstance(teachers, ReferencePool) else teachers,
    )
    with run.untimed():
        check_request(method, split, run)
        task.check_model(model, split.forget)
        method = settle(method, split, partial(run.scale, model, kept(split)))
        if recipe is not None and "recipe" in method.needs:  # which it builds a fresh model by
            refuse_same_model(recipe, model, seed=seed)
            if split.holdout is not None:
                check_fresh(recipe, split.forget, split.holdout, task, seed=seed, what="the samples to forget")
        before = weights_sha256(model)
        private = run.place(copy.deepcopy(model))
        parts = _parts(split, unseen, retained, task, seed=seed) if measure else {}
        looks = effects.look(private, parts, task)
        run.warm_up(private, split.forget)
    with repeatable(run.device):
        unlearned = method(private, run.place(split), run).eval()
    seconds = run.seconds
    if not all(bool(torch.isfinite(parameter).all()) for parameter in unlearned.parameters()):
        raise TrainingError(f"expected finite weights, got NaN or Inf after {method!r}; lower the learning rate")
    if not bool(torch.isfinite(outputs(unlearned, split.forget.select(split.forget.ids[:64]))).all()):
        raise TrainingError(f"expected finite outputs, got NaN or Inf after {method!r}; lower the learning rate")
    if weights_sha256(unlearned) == before:
        raise MethodError(
            f"expected {method.name} to change the model, got the same weights; raise its learning rate or its epochs"
        )
    role: Role = "retrained" if isinstance(method, Retrain) else "unlearned"  # the audit's baseline, and no other
    effect = _effect(looks, unlearned, parts, method, task) if measure else None
    copies = 0 if split.retain is None else len(split.copies)
    notes = dict(run.notes) | ({COPIES: float(copies)} if copies else {})
    taught_by = teachers.fingerprint if teachers is not None and "teachers" in method.needs else None
    return TrainedModel(unlearned, role, repr(method), seed, seconds, notes, name, effect, taught_by)


def with_effect(
    model: nn.Module,
    unlearned: TrainedModel,
    method: Method,
    split: Split,
    task: Task,
    *,
    unseen: Samples | None = None,
    retained: Samples | None = None,
) -> TrainedModel:
    """Add what a method did to the model's utility, as `unlearn` measures it."""
    parts = _parts(split, unseen, retained, task, seed=unlearned.seed)
    device = next(unlearned.model.parameters()).device
    looks = effects.look(copy.deepcopy(model).to(device), parts, task)
    return replace(unlearned, effect=_effect(looks, unlearned.model, parts, method, task))


def _effect(looks: effects.Looks, unlearned: nn.Module, parts: effects.Drawn, method: Method, task: Task) -> Effect:
    effect = effects.compared(looks, effects.look(unlearned, parts, task), task, judged=not method.exact)
    return replace(effect, try_next=effects.next_settings(method, effect.verdict))


def _parts(split: Split, unseen: Samples | None, retained: Samples | None, task: Task, *, seed: int) -> effects.Drawn:
    """What is measured before and after; raises DataError for samples that are not of the task, or were trained on."""
    for what, samples in (("unseen set", unseen), ("retained samples", retained)):
        if samples is not None:
            _check_shape(samples, split.forget, what=what)
            task.check_samples(samples, what=what)
    if retained is not None and len(shared := np.intersect1d(retained.ids, split.forget.ids)):
        raise DataError(f"expected retained samples, got {shown(shared)} of the samples to forget; leave them out")
    retain = retained if split.retain is None else split.retain
    trained = np.concatenate([samples.ids for samples in (split.forget, retain) if samples is not None])
    if unseen is not None and len(shared := np.intersect1d(unseen.ids, trained)):
        raise DataError(
            f"expected unseen samples that were never trained on, got {shown(shared)} of the training set; "
            "measure on others"
        )
    unseen = split.holdout if unseen is None else unseen
    return effects.drawn({"forget": split.forget, "retain": retain, "unseen": unseen}, seed=seed)


def check_request(method: Method, split: Split, run: Run, *, planned: frozenset[str] = frozenset()) -> None:
    """Refuse, before any work, a method, a task and samples that do not go together.

    What the method needs and is `planned` need not be there yet. Raises MethodError and DataError.
    """
    check_task(method, run.task)
    check_needs(method, split, run, planned=planned)
    _check_split(split, run.task)


def kept(split: Split) -> Samples:
    """What a model is asked about that must stay useful: the retain set, or the forget set where there is none."""
    return split.forget if split.retain is None else split.retain


def _check_split(split: Split, task: Task) -> None:
    """Refuse sets that are not of the task, of one shape, and apart from each other; raises DataError."""
    sets = {"forget set": split.forget, "retain set": split.retain, "holdout set": split.holdout}
    for what, samples in sets.items():
        if samples is None:
            continue
        _check_shape(samples, split.forget, what=what)
        task.check_samples(samples, what=what)
    if split.retain is not None and len(shared := np.intersect1d(split.forget.ids, split.retain.ids)):
        raise DataError(
            f"expected a retain set without the samples to forget, got {shown(shared)} in both; use `Split.of`"
        )
    if split.holdout is not None:
        trained = [samples for samples in (split.forget, split.retain) if samples is not None]
        if len(shared := np.intersect1d(split.holdout.ids, np.concatenate([samples.ids for samples in trained]))):
            raise DataError(
                f"expected a holdout set that was never trained on, got {shown(shared)} of the training set; "
                "use samples that the model has not seen"
            )
        refuse_copies(split.holdout, *trained, what="holdout samples")


def _check_shape(samples: Samples, forget: Samples, *, what: str) -> None:
    """Refuse samples of another shape than those to forget; raises DataError."""
    wanted, got = (tuple(part.take(torch.arange(1)).x.shape[1:]) for part in (forget, samples))
    if got != wanted:
        raise DataError(f"expected samples of one shape, got {wanted} to forget and {got} in the {what}; resize them")
