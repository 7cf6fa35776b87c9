"""Train the references of an audit, and make them forget as a model was made to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from torch import nn

from obliviate._util.seeds import derive
from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split, refuse_copies
from obliviate.errors import AuditError, MethodError
from obliviate.methods.base import Method, check_needs, settle
from obliviate.methods.sisa import SISA
from obliviate.references.jobs import Executor
from obliviate.references.pool import SHADOWS, ReferencePool, load_pool, train_pool
from obliviate.references.shadows import ShadowPool, make_shadows
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent
from obliviate.training.scale import Scale
from obliviate.types import Ids
from obliviate.workflow.fresh import check_fresh
from obliviate.workflow.models import TrainedModel
from obliviate.workflow.unlearning import unlearn


def train_references(
    recipe: Recipe,
    train: Samples,
    unseen: Samples | None,
    task: Task,
    *,
    folder: Path | str,
    models: int = 16,
    seed: int = 0,
    groups: Shaped[np.ndarray, " n"] | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    keep_weights: bool = True,
    progress: Progress = silent,
) -> ReferencePool:
    """Train (or open) the reference pool over training and unseen samples, each in half of the references.

    What is in `folder` of this model as built, recipe, task, samples and seed is used, and extended by asking for more
    `models`; see `references.pool.train_pool` for `groups` (of the training samples and then the unseen ones),
    `workers`, `executor` and `keep_weights`, and docs/references.md. `unseen` is None for teachers where there is no
    holdout set.

    Raises, before any training, DataError and RecipeError for samples or a model that do not fit the task; DataError
    for unseen samples that are copies of training samples, and for samples that are others each time they are read;
    AuditError for samples in both sets; RecipeError for a builder whose models know the training samples already
    (`check_fresh`), or that does not return a new one at each call; and whatever `train_pool` raises.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> task, recipe = ob.task_of(data), ob.recipe_for(data, epochs=2)
    >>> unseen = data.test.select(data.test.ids[:60])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(recipe, data.train, unseen, task, folder=folder, models=4, workers=0)
    >>> len(pool), pool.included.sum(0).tolist() == [2] * 160  # each sample is in half of them
    (4, True)
    """
    recipe.weighted(task)  # refuses class weights that do not fit
    task.check_samples(train, what="training set")
    train.check_steady(what="training samples")
    population = train
    if unseen is not None:
        task.check_samples(unseen, what="unseen set")
        unseen.check_steady(what="unseen samples")
        population = _population(train, unseen)
        refuse_copies(unseen, train)
    task.check_model(recipe.build(seed=seed), train)
    if unseen is not None:
        check_fresh(recipe, train, unseen, task, seed=seed)
    return train_pool(
        recipe,
        population,
        task,
        folder=Path(folder),
        models=models,
        seed=seed,
        groups=groups,
        workers=workers,
        executor=executor,
        keep_weights=keep_weights,
        progress=progress,
    )


def load_references(
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    task: Task,
    *,
    folder: Path | str,
    models: int | None = None,
    seed: int = 0,
) -> ReferencePool:
    """Open the references that `train_references` left in `folder`, all or the first `models`, and train nothing.

    Raises AuditError where they are not there, which says what is there instead.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> task, recipe = ob.task_of(data), ob.recipe_for(data, epochs=2)
    >>> unseen = data.test.select(data.test.ids[:60])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(recipe, data.train, unseen, task, folder=folder, models=4, workers=0)
    ...     again = ob.load_references(recipe, data.train, unseen, task, folder=folder)
    >>> again.fingerprint == pool.fingerprint
    True
    """
    return load_pool(recipe, _population(train, unseen), task, folder=Path(folder), models=models, seed=seed)


def _population(train: Samples, unseen: Samples) -> Samples:
    if len(shared := np.intersect1d(train.ids, unseen.ids)):
        raise AuditError(
            f"expected unseen samples outside the training set, got {shown(shared)} in both; remove the copies"
        )
    return train.joined(unseen)


@dataclass(frozen=True, eq=False)
class PastRequest:
    """An earlier request: what was forgotten, by which method as it was set, and whether it had retained samples."""

    ids: Ids
    method: Method
    retain: bool

    def __repr__(self) -> str:
        return f"PastRequest({self.method!r}, retain={self.retain}, ids={sorted(self.ids.tolist())})"


@dataclass(frozen=True, eq=False, repr=False)
class ShadowUnlearning:
    """The unlearning that a request asks for, applied to references; other processes can read it.

    References go through the earlier requests first, as far as they have any of their samples. Its `repr` names the
    method as it is set, whether it may use retained samples, its holdout samples, its teachers, and the earlier
    requests.
    """

    method: Method
    task: Task
    recipe: Recipe
    retain: bool
    holdout: Samples | None
    earlier: tuple[PastRequest, ...] = ()
    teachers: ReferencePool | None = None

    def __repr__(self) -> str:
        holdout = None if self.holdout is None else self.holdout.sha256[:16]
        earlier = f", earlier={list(self.earlier)}" if self.earlier else ""
        teachers = "" if self.teachers is None else f", teachers={len(self.teachers)} of {self.teachers.fingerprint}"
        return f"ShadowUnlearning({self.method!r}, retain={self.retain}, holdout={holdout}{teachers}{earlier})"

    def __call__(
        self, model: nn.Module, forget: Samples, retain: Samples, *, seed: int, folder: Path, progress: Progress
    ) -> tuple[nn.Module, float]:
        spent = 0.0
        for number, request in enumerate(self.earlier, start=1):
            in_request = np.isin(retain.ids, request.ids)
            requested, retain = retain.at(in_request), retain.at(~in_request)
            if len(requested):  # of a small request a reference may have nothing
                split = Split(requested, forget.joined(retain) if request.retain else None, self.holdout)
                request_seed = derive(seed, "earlier request", number)
                trained = self._forget(
                    model, split, request.method, request_seed, folder / f"request-{number:04d}", progress
                )
                model, spent = trained.model, spent + (trained.seconds or 0.0)
        split = Split(forget, retain if self.retain else None, self.holdout)
        trained = self._forget(model, split, self.method, seed, folder, progress)
        return trained.model, spent + (trained.seconds or 0.0)

    def _forget(
        self, model: nn.Module, split: Split, method: Method, seed: int, folder: Path, progress: Progress
    ) -> TrainedModel:
        return unlearn(
            model,
            split,
            method,
            self.task,
            recipe=self.recipe,
            seed=seed,
            folder=folder,
            progress=progress,
            measure=False,
            teachers=self.teachers,
        )


def train_shadows(
    pool: ReferencePool,
    recipe: Recipe,
    train: Samples,
    unseen: Samples,
    split: Split,
    method: Method,
    task: Task,
    *,
    earlier: Sequence[tuple[Split, Method]] = (),
    teachers: ReferencePool | None = None,
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

    `earlier` are the requests that the audited model went through before, in order: each with its split and its method.
    Every reference goes through them too. `teachers` are those of all these methods that need some.

    Raises, before any work, MethodError for `sisa` and when a method needs what its split does not give, AuditError
    for requests outside the training set or for the same samples, an unseen set that a method could see, or a pool
    that does not fit or lacks weights.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> task, recipe = ob.task_of(data), ob.recipe_for(data, epochs=2)
    >>> unseen = data.test.select(data.test.ids[:60])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(recipe, data.train, unseen, task, folder=folder, models=4, workers=0)
    ...     split = ob.Split.of(data.train, forget=data.train.ids[:30])
    ...     method = ob.FineTune(epochs=1)
    ...     shadows = ob.train_shadows(pool, recipe, data.train, unseen, split, method, task, folder=folder, workers=0)
    >>> len(shadows)
    4
    """
    run = Run(task, recipe=recipe, teachers=None if teachers is None else PoolTeachers.of(teachers, recipe, task))
    served = [
        PastRequest(request.forget.ids, _settled(used_method, request, run), request.retain is not None)
        for request, used_method in earlier
    ]
    taught = any("teachers" in used.needs for used in (method, *(used for _, used in earlier)))
    method = _settled(method, split, run)
    _check_requests([*(request for request, _ in earlier), split], train, unseen)
    return make_shadows(
        pool,
        recipe,
        _population(train, unseen),
        task,
        ShadowUnlearning(
            method,
            task,
            recipe,
            split.retain is not None,
            split.holdout,
            tuple(served),
            teachers if taught else None,
        ),
        forget=split.forget.ids,
        unseen=unseen.ids,
        folder=pool.folder / SHADOWS if folder is None else Path(folder),
        seed=seed,
        workers=workers,
        executor=executor,
        progress=progress,
    )


def _settled(method: Method, split: Split, run: Run) -> Method:
    """The method as it is set for a request that references can go through."""
    assert run.recipe is not None
    check_needs(method, split, run)
    if isinstance(method, SISA):
        raise MethodError(
            "expected a method that works on any trained model, got sisa, which begins from slice checkpoints that "
            "references do not keep; audit it without shadows"
        )
    return settle(method, split, Scale.of(run.recipe))


def _check_requests(splits: Sequence[Split], train: Samples, unseen: Samples) -> None:
    forgotten = np.array([], dtype=np.str_)
    for split in splits:
        if len(strange := np.setdiff1d(split.forget.ids, train.ids)):
            raise AuditError(
                f"expected a request for training samples, got {shown(strange)} outside the training set; "
                "leave them out"
            )
        request_ids = split.forget.ids if split.retain is None else np.concatenate([split.forget.ids, split.retain.ids])
        if len(again := np.intersect1d(forgotten, request_ids)):
            raise AuditError(
                f"expected requests in their order, each without the samples of earlier ones, got {shown(again)} "
                "again; give the splits that the model went through"
            )
        refuse_seen(split, unseen)
        forgotten = np.concatenate([forgotten, split.forget.ids])


def refuse_seen(split: Split, unseen: Samples) -> None:
    """Refuse unseen samples that are in the split's holdout set, which methods may learn from; raises AuditError."""
    if split.holdout is not None and len(shared := np.intersect1d(split.holdout.ids, unseen.ids)):
        raise AuditError(
            f"expected unseen samples that no method can see, got {shown(shared)} of the holdout set; "
            "draw the holdout set from other samples"
        )
