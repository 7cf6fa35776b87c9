"""Make a model forget."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import nn

from obliviate.data.erased import erased_ids
from obliviate.data.samples import Samples
from obliviate.data.split import Split, refuse_copies
from obliviate.errors import MethodError, TrainingError
from obliviate.methods import check_task
from obliviate.methods.base import Method, check_needs, settle
from obliviate.methods.divided import check_division
from obliviate.methods.retrain import Retrain
from obliviate.models.admission import check_trainable
from obliviate.references.pool import ReferencePool
from obliviate.references.teachers import PoolTeachers
from obliviate.results.roles import Role
from obliviate.task import Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.determinism import repeatable
from obliviate.training.form import Form
from obliviate.training.identity import refuse_same_model
from obliviate.training.inference import outputs
from obliviate.training.progress import Progress, silent
from obliviate.training.run import Run
from obliviate.training.teachers import Teachers
from obliviate.workflow.effect import Effect
from obliviate.workflow.fresh import check_fresh
from obliviate.workflow.looks import Drawn, Looks, compared, drawn, look, next_settings
from obliviate.workflow.models import TrainedModel

COPIES: Final = "copies_retained"
"""The note of a model that says how many retained samples are copies of those that it was made to forget."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Measuring:
    """Samples on which the effect of unlearning is measured beside those of its split; the method sees neither.

    `unseen` are samples that no model was trained on, the holdout set if left out; `retained` are the retained ones,
    for a split without a retain set.

    >>> samples = Samples.from_tensors(torch.rand(4, 2), torch.arange(4) % 2, ids=list("abcd"))
    >>> Measuring(unseen=samples).retained is None
    True
    """

    unseen: Samples | None = None
    retained: Samples | None = None


ON_THE_SPLIT: Final = Measuring()


def unlearn(
    original: TrainedModel,
    split: Split,
    method: Method,
    *,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = silent,
    teachers: ReferencePool | Teachers | None = None,
    measure: Measuring | None = ON_THE_SPLIT,
) -> TrainedModel:
    """Make a copy of a model forget; the model that is passed in is never changed.

    The method is given the task and the recipe of `original`, which is a model that was trained, or unlearned before
    (`train`, `TrainedModel.given`).

    `TrainedModel.effect` tells the utility of the model before and after on forget, retained and unseen samples, at
    most 2,000 of each, drawn by the seed; `measure` may name other samples for that, and None spares it.
    `TrainedModel.seconds` is the time of the method, without checks, measuring and what a process does once.

    Relative settings of the method (docs/methods/README.md) are multiples and shares of the recipe's; without a recipe
    of what `training.scale` finds, and the note "found_learning_rate" says which. The time of that search counts.

    With a `folder`, an interrupted run resumes there; the folder must belong to this method, model, split and seed.
    `teachers` is the pool that a method such as `never_seen` learns from, which no audit of its model may rest on.

    The slice checkpoints that `sisa` needs, and leaves its own beside, are in `original.checkpoints`.

    Where the method trains a fresh model, the recipe's builder must return a new one at each call, and none that knows
    the samples to forget; the latter is told by the split's holdout set (`check_fresh`), and not without one.

    Raises MethodError, before any work, when the method needs what the split or the recipe does not give, and
    afterwards when no weight has changed; DataError and RecipeError for data or a model that do not fit the task, and
    RecipeError for such a builder; TrainingError when the loss or the weights are not finite. Where copies of forget
    samples are retained under other names (`Split.copies`), the note "copies_retained" says how many.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> original = ob.train(experiment)
    >>> split = experiment.split(data.train.ids[:10])
    >>> unlearned = ob.unlearn(original, split, ob.FineTune(epochs=1))
    >>> unlearned.role, unlearned.method[:18]
    ('unlearned', 'FineTune(epochs=1,')
    """
    model, task, recipe = original.model, original.task, original.recipe
    run = Run(
        task,
        seed=seed,
        recipe=recipe,
        folder=folder,
        checkpoints=original.checkpoints,
        progress=progress,
        teachers=PoolTeachers.of(teachers, recipe, task) if isinstance(teachers, ReferencePool) else teachers,
    )
    with run.untimed():
        check_request(method, split, run)
        _check_model(original, method, split, run)
        method = settle(method, split, partial(run.scale, model, kept(split)))
        if "recipe" in method.needs:
            _check_builder(original, split, seed=seed)
        before = weights_sha256(model)
        form = Form.of(model)
        private = run.private(model, split.known)
        parts = {} if measure is None else _parts(split, measure, task, seed=seed)
        looks = look(private, parts, task)
        run.warm_up(private, split.known)
    with repeatable(run.device):
        unlearned = method(private, run.place(split), run)
    seconds = run.seconds
    unlearned = run.give_back(unlearned, form, flags=not method.exact)
    _check_outcome(unlearned, method, split, before)
    role: Role = "retrained" if isinstance(method, Retrain) else "unlearned"  # the audit's baseline, and no other
    effect = None if measure is None else _effect(looks, unlearned, parts, method, task)
    copies = 0 if split.retain is None else len(split.copies)
    notes = dict(run.notes) | ({COPIES: float(copies)} if copies else {})
    taught_by = teachers.fingerprint if teachers is not None and "teachers" in method.needs else None
    return TrainedModel(
        unlearned,
        task,
        recipe,
        role,
        repr(method),
        seed,
        seconds,
        notes,
        effect=effect,
        teachers=taught_by,
        checkpoints=original.checkpoints,
    )


def _check_model(original: TrainedModel, method: Method, split: Split, run: Run) -> None:
    """Refuse, before any work, a model that the method cannot change, or not in this run; raises as `unlearn` does."""
    check_division(method, run.division)
    run.check_divisible(original.model, split.known)
    original.task.check_model(original.model, split.known)
    if not method.exact:
        check_trainable(original.model)


def _check_builder(original: TrainedModel, split: Split, *, seed: int) -> None:
    """Refuse, before any work, a recipe that builds no fresh models; raises RecipeError."""
    if original.recipe is None:
        return
    refuse_same_model(original.recipe, original.model, seed=seed)
    if split.holdout is not None:
        check_fresh(original.recipe, split.known, split.holdout, original.task, seed=seed, what=split.known_name)


def _check_outcome(unlearned: nn.Module, method: Method, split: Split, before: str) -> None:
    """Refuse a model that is ruined in its numbers, or of the weights whose hash is `before`; raises as `unlearn`."""
    if not all(bool(torch.isfinite(parameter).all()) for parameter in unlearned.parameters()):
        raise TrainingError(f"expected finite weights, got NaN or Inf after {method!r}; lower the learning rate")
    if not bool(torch.isfinite(outputs(unlearned, split.known.select(split.known.ids[:64]))).all()):
        raise TrainingError(f"expected finite outputs, got NaN or Inf after {method!r}; lower the learning rate")
    if weights_sha256(unlearned) == before:
        raise MethodError(
            f"expected {method.name} to change the model, got the same weights; raise its learning rate or its epochs"
        )


def with_effect(
    original: TrainedModel, unlearned: TrainedModel, method: Method, split: Split, measure: Measuring
) -> TrainedModel:
    """Add what a method did to the model's utility, as `unlearn` measures it."""
    task = original.task
    parts = _parts(split, measure, task, seed=unlearned.seed)
    device = next(unlearned.model.parameters()).device
    looks = look(copy.deepcopy(original.model).to(device), parts, task)
    return replace(unlearned, effect=_effect(looks, unlearned.model, parts, method, task))


def _effect(looks: Looks, unlearned: nn.Module, parts: Drawn, method: Method, task: Task) -> Effect:
    effect = compared(looks, look(unlearned, parts, task), task, judged=not method.exact)
    return replace(effect, try_next=next_settings(method, effect.verdict))


def _parts(split: Split, measure: Measuring, task: Task, *, seed: int) -> Drawn:
    """What is measured before and after; raises DataError for samples that are not of the task, or were trained on."""
    for name, samples in (("unseen set", measure.unseen), ("retained samples", measure.retained)):
        if samples is not None:
            task.check_samples(samples, what=name)
    measured = Split(  # which refuses what is not apart
        split.forget,
        measure.retained if split.retain is None else split.retain,
        split.holdout if measure.unseen is None else measure.unseen,
    )
    forget = None if len(erased_ids(measured.forget)) else measured.forget
    return drawn({"forget": forget, "retain": measured.retain, "unseen": measured.holdout}, seed=seed)


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
    """Refuse sets that are not of the task, and holdout samples that were trained on; raises DataError."""
    for name, samples in {"forget set": split.forget, "retain set": split.retain, "holdout set": split.holdout}.items():
        if samples is not None and not len(erased_ids(samples)):
            task.check_samples(samples, what=name)
    if split.holdout is not None:
        trained = [samples for samples in (split.forget, split.retain) if samples is not None]
        refuse_copies(split.holdout, *trained, what="holdout samples")
