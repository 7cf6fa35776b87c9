"""Train the references of an audit, and make them forget as a model was made to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from torch import nn

from obliviate._util.seeds import derive
from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method, check_needs, settle
from obliviate.methods.sisa import SISA
from obliviate.references.executors.protocol import Executor
from obliviate.references.pool import SHADOWS, ReferencePool, load_pool, train_pool
from obliviate.references.shadows import ShadowPool, make_shadows
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Task
from obliviate.training.division import check_alone
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.types import Ids
from obliviate.workflow.fresh import check_fresh
from obliviate.workflow.models import TrainedModel
from obliviate.workflow.unlearning import unlearn


def train_references(
    experiment: Experiment,
    *,
    folder: Path | str,
    models: int = 16,
    groups: Shaped[np.ndarray, " n"] | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    keep_weights: bool = True,
    progress: Progress = silent,
) -> ReferencePool:
    """Train (or open) the reference pool over training and test samples, each in half of the references.

    What is in `folder` of this model as built, recipe, task, samples and seed is used, and extended by asking for more
    `models`; see `references.pool.train_pool` for `groups` (of the training samples and then the test samples),
    `workers`, `executor` and `keep_weights`, and docs/references.md. Teachers may have no test samples.

    Raises, before any training, DataError for samples that are others each time they are read; RecipeError for a model
    that does not fit the samples, for a builder whose models know the training samples already (`check_fresh`), or that
    does not return a new one at each call; and whatever `train_pool` raises.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    >>> len(pool), pool.included.sum(0).tolist() == [2] * 160  # each sample is in half of them
    (4, True)
    """
    check_alone(Path(folder))
    recipe, task, seed = experiment.recipe, experiment.task, experiment.seed
    recipe.check_trainable()
    experiment.train.check_steady(what="training samples")
    if experiment.test is not None:
        experiment.test.check_steady(what="test samples")
    task.check_model(recipe.build(seed=seed), experiment.train)
    if experiment.test is not None:
        check_fresh(recipe, experiment.train, experiment.test, task, seed=seed)
    return train_pool(
        recipe,
        experiment.population,
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


def load_references(experiment: Experiment, *, folder: Path | str, models: int | None = None) -> ReferencePool:
    """Open the references that `train_references` left in `folder`, all or the first `models`, and train nothing.

    Raises AuditError where they are not there, which says what is there instead.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     again = ob.load_references(experiment, folder=folder)
    >>> again.fingerprint == pool.fingerprint
    True
    """
    return load_pool(
        experiment.recipe,
        experiment.population,
        experiment.task,
        folder=Path(folder),
        models=models,
        seed=experiment.seed,
    )


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
    """The unlearning that a request asks for, of the samples `forget`, applied to references; others can read it.

    References go through the earlier requests first, as far as they have any of their samples. Its `repr` names the
    method as it is set, whether it may use retained samples, its holdout samples, its teachers, and the earlier
    requests.
    """

    method: Method
    task: Task
    recipe: Recipe
    forget: Ids
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
            TrainedModel.given(model, self.task, recipe=self.recipe),
            split,
            method,
            seed=seed,
            folder=folder,
            progress=progress,
            teachers=self.teachers,
            measure=None,
        )


def train_shadows(
    experiment: Experiment,
    pool: ReferencePool,
    requests: Sequence[tuple[Split, Method]],
    *,
    teachers: ReferencePool | None = None,
    folder: Path | str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> ShadowPool:
    """Make every reference of the pool forget what a model was made to forget, for U-LiRA (see `references.shadows`).

    `requests` are those that the audited model went through, in order, each with its split and its method; the last is
    the one that is audited. Every reference goes through them too. The pool is one of this experiment
    (`train_references`). The shadows are kept in `folder`, beside the references if it is left out, and only what is
    missing is made. A method that adapts to the request is settled for it once, so that every shadow has the settings
    of the model that is audited. `teachers` are those of all methods that need some.

    Raises, before any work, AuditError for no request, for requests outside the training set or for the same samples,
    test samples that a method could see, or a pool that does not fit or lacks weights; MethodError for `sisa` and when
    a method needs what its split does not give.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     requests = [(experiment.split(data.train.ids[:30]), ob.FineTune(epochs=1))]
    ...     shadows = ob.train_shadows(experiment, pool, requests, folder=folder, workers=0)
    >>> len(shadows)
    4
    """
    unlearning = shadow_unlearning(experiment, requests, teachers=teachers)
    (shadows,) = train_shadows_by_each(
        experiment,
        pool,
        {"shadows": unlearning},
        folder=folder,
        workers=workers,
        executor=executor,
        progress=progress,
    ).values()
    return shadows


def shadow_unlearning(
    experiment: Experiment, requests: Sequence[tuple[Split, Method]], *, teachers: ReferencePool | None = None
) -> ShadowUnlearning:
    """What references are to go through for the shadows of a model that went through `requests` (`train_shadows`).

    Raises, before any work, AuditError for requests that the model cannot have gone through, and MethodError for `sisa`
    and when a method needs what its split does not give.

    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> experiment = ob.Experiment(ob.task_of(data), ob.recipe_for(data, epochs=2), data.train, data.test)
    >>> requests = [(experiment.split(data.train.ids[:30]), ob.FineTune(epochs=1))]
    >>> len(shadow_unlearning(experiment, requests).forget)
    30
    """
    recipe, task = experiment.recipe, experiment.task
    _check_requests(experiment, [split for split, _ in requests])
    run = Run(task, recipe=recipe, teachers=None if teachers is None else PoolTeachers.of(teachers, recipe, task))
    *earlier, (split, method) = ((split, _settled(method, split, run)) for split, method in requests)
    taught = any("teachers" in method.needs for _, method in requests)
    return ShadowUnlearning(
        method,
        task,
        recipe,
        split.forget.ids,
        split.retain is not None,
        split.holdout,
        tuple(PastRequest(past.forget.ids, used, past.retain is not None) for past, used in earlier),
        teachers if taught else None,
    )


def train_shadows_by_each(
    experiment: Experiment,
    pool: ReferencePool,
    unlearnings: Mapping[str, ShadowUnlearning],
    *,
    folder: Path | str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> dict[str, ShadowPool]:
    """Make the shadows of several models of one request, named as the unlearnings are, and read no reference twice.

    The other arguments are those of `train_shadows`. Raises AuditError for no unlearning and for those of several
    forget sets, and whatever `references.make_shadows` raises.
    """
    forget_sets = {tuple(sorted(unlearning.forget.tolist())) for unlearning in unlearnings.values()}
    if len(forget_sets) != 1:
        raise AuditError(
            f"expected unlearnings of one forget set, got {len(forget_sets)} forget sets of {len(unlearnings)} "
            "unlearnings; make the shadows of each request by themselves"
        )
    shadows = make_shadows(
        pool,
        experiment.recipe,
        experiment.population,
        experiment.task,
        list(unlearnings.values()),
        forget=next(iter(unlearnings.values())).forget,
        unseen=experiment.unseen.ids,
        folder=pool.folder / SHADOWS if folder is None else Path(folder),
        seed=experiment.seed,
        workers=workers,
        executor=executor,
        progress=progress,
    )
    return dict(zip(unlearnings, shadows, strict=True))


def _settled(method: Method, split: Split, run: Run) -> Method:
    """The method as it is set for a request that references can go through."""
    assert run.recipe is not None
    check_needs(method, split, run)
    if isinstance(method, SISA):
        raise MethodError(
            "expected a method that works on any trained model, got sisa, which begins from slice checkpoints that "
            "references do not keep; audit it without shadows"
        )
    return settle(method, split, partial(Scale.of, run.recipe))


def _check_requests(experiment: Experiment, splits: Sequence[Split]) -> None:
    if not splits:
        raise AuditError("expected the requests that the audited model went through, got none; name them in order")
    forgotten = np.array([], dtype=np.str_)
    for split in splits:
        experiment.check_split(split)
        request_ids = split.forget.ids if split.retain is None else np.concatenate([split.forget.ids, split.retain.ids])
        if len(again := np.intersect1d(forgotten, request_ids)):
            raise AuditError(
                f"expected requests in their order, each without the samples of earlier ones, got {shown(again)} "
                "again; give the splits that the model went through"
            )
        forgotten = np.concatenate([forgotten, split.forget.ids])
