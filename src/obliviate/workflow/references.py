"""Train the references of an audit, and make them forget as a model was made to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.methods.base import Method, check_needs, settle
from obliviate.methods.sisa import SISA
from obliviate.references.jobs import Executor
from obliviate.references.pool import SHADOWS, ReferencePool, load_pool, train_pool
from obliviate.references.shadows import ShadowPool, make_shadows
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.workflow.unlearning import unlearn


def train_references(
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    task: Task,
    *,
    folder: Path | str,
    models: int = 16,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    keep_weights: bool = True,
    progress: Progress = silent,
) -> ReferencePool:
    """Train (or open) the reference pool over training and unseen samples, each in half of the references.

    What is in `folder` of this recipe, these samples and this seed is used, and extended by asking for more `models`;
    see `references.pool.train_pool` for `workers`, `executor` and `keep_weights`, and docs/references.md.
    """
    task.check_samples(train, what="training set")
    task.check_samples(unseen, what="unseen set")
    task.check_model(recipe.build(seed=seed), train)
    return train_pool(
        recipe,
        _population(train, unseen),
        task,
        folder=Path(folder),
        models=models,
        seed=seed,
        workers=workers,
        executor=executor,
        keep_weights=keep_weights,
        progress=progress,
    )


def load_references(
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    *,
    folder: Path | str,
    models: int | None = None,
    seed: int = 0,
) -> ReferencePool:
    """Open the references that `train_references` left in `folder`, all or the first `models`, and train nothing.

    Raises AuditError where they are not there, which says what is there instead.
    """
    return load_pool(recipe, _population(train, unseen), folder=Path(folder), models=models, seed=seed)


def _population(train: Samples, unseen: Samples) -> Samples:
    if len(shared := np.intersect1d(train.ids, unseen.ids)):
        raise AuditError(
            f"expected unseen samples outside the training set, got {shown(shared)} in both; remove the copies"
        )
    return train.joined(unseen)


@dataclass(frozen=True, eq=False, repr=False)
class ShadowUnlearning:
    """The unlearning that a request asks for, applied to references; other processes can read it.

    Its `repr` names the method as it is set, whether it may use retained samples, and its reference samples.
    """

    method: Method
    task: Task
    recipe: Recipe
    retain: bool
    reference: Samples | None

    def __repr__(self) -> str:
        reference = None if self.reference is None else self.reference.sha256[:16]
        return f"ShadowUnlearning({self.method!r}, retain={self.retain}, reference={reference})"

    def __call__(
        self, model: nn.Module, forget: Samples, retain: Samples, *, seed: int, folder: Path, progress: Progress
    ) -> tuple[nn.Module, float]:
        split = Split(forget, retain if self.retain else None, self.reference)
        made = unlearn(
            model, split, self.method, self.task, recipe=self.recipe, seed=seed, folder=folder, progress=progress
        )
        return made.model, made.seconds or 0.0


def train_shadows(
    pool: ReferencePool,
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    split: Split,
    method: Method,
    task: Task,
    *,
    folder: Path | str | None = None,
    seed: int = 0,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> ShadowPool:
    """Make every reference of the pool forget the request by the method, for U-LiRA (see `references.shadows`).

    `train` and `unseen` are what the pool was trained over. The shadows are kept in `folder`, beside the references
    if it is left out, and only what is missing is made. A method that adapts to the request is settled for it once, so
    that every shadow has the settings of the model that is audited.

    Raises, before any work, MethodError for `sisa` and when the method needs what the split does not give, AuditError
    for a request outside the training set, an unseen set that the method could see, or a pool that does not fit or
    lacks weights.
    """
    check_needs(method, split, Run(task, seed=seed, recipe=recipe))
    if isinstance(method, SISA):
        raise MethodError(
            "expected a method that works on any trained model, got sisa, which begins from slice checkpoints that "
            "references do not keep; audit it without shadows"
        )
    method = settle(method, split)
    if len(strange := np.setdiff1d(split.forget.ids, train.ids)):
        raise AuditError(
            f"expected a request for training samples, got {shown(strange)} outside the training set; leave them out"
        )
    refuse_seen(split, unseen)
    return make_shadows(
        pool,
        recipe,
        _population(train, unseen),
        task,
        ShadowUnlearning(method, task, recipe, split.retain is not None, split.reference),
        forget=split.forget.ids,
        unseen=unseen.ids,
        folder=pool.folder / SHADOWS if folder is None else Path(folder),
        seed=seed,
        workers=workers,
        executor=executor,
        progress=progress,
    )


def refuse_seen(split: Split, unseen: Samples) -> None:
    """Refuse unseen samples that are in the split's reference set, which methods may learn from; raises AuditError."""
    if split.reference is not None and len(shared := np.intersect1d(split.reference.ids, unseen.ids)):
        raise AuditError(
            f"expected unseen samples that no method can see, got {shown(shared)} of the reference set; "
            "draw the reference set from other samples"
        )
