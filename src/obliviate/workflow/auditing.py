"""Audit models: ask them for outputs on the samples of a request, and compare them with those that never saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from torch import Tensor

from obliviate.audit.audit import audit as audit_candidates
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool, Shadows
from obliviate.audit.record import audit_record as rank_record
from obliviate.audit.result import AuditResult
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError
from obliviate.experiment import Experiment
from obliviate.references.pool import ReferencePool
from obliviate.references.shadows import ShadowPool
from obliviate.report.wording import TRAINABLE
from obliviate.results.record import RecordAudit
from obliviate.task import Classification, Task
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import observed
from obliviate.workflow.models import TrainedModel

LEAST_FORGOTTEN: Final = 2  # samples to forget, of which a rate can be told


def audit_models(
    experiment: Experiment,
    models: Sequence[TrainedModel],
    split: Split,
    pool: ReferencePool,
    *,
    settings: AuditSettings | None = None,
    shadows: Mapping[str, ShadowPool] | None = None,
    grouped: bool = False,
) -> AuditResult:
    """Compare models with retrained ones on forget, retain and test samples, all of them in the pool.

    `models` holds what is to be judged, usually the original, and two or more retrained ones (`retrain` with different
    seeds; three or more are better); with fewer the pool is the baseline. `shadows`, by the label of a model, are
    references that were unlearned by its method (`train_shadows`), for U-LiRA. `grouped` says that the forget samples
    were chosen for what they have in common, such as an owner: without retrained models they can then be shown to leak,
    and no more.
    Raises AuditError for samples outside the experiment or the pool, for test samples that are in the split's holdout
    set as well, for margins that cannot be, for shadows of no model, and for a pool that one of the models learned
    from; RecipeError for a model that does not fit the task, that answers with probabilities, or at random; DataError
    for samples that are others each time they are read.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     split = experiment.split(data.train.ids[:30])
    ...     result = ob.audit_models(experiment, [ob.train(experiment)], split, pool)
    >>> [(model.name, model.verdict) for model in result.models]
    [('original', ...)]
    """
    if len(split.forget) < LEAST_FORGOTTEN:
        raise AuditError(
            f"expected {LEAST_FORGOTTEN} samples to forget or more, got {len(split.forget)}; "
            "`obliviate.workflow.audit_record` tells the rank and the p-value of one record"
        )
    settings, shadows = settings or AuditSettings(), shadows or {}
    check_margins(settings)
    evaluation, candidates = ask_models(experiment, models, split, pool, shadows, grouped=grouped)
    return evaluation.audit(candidates, settings)


def audit_record(
    experiment: Experiment,
    models: Sequence[TrainedModel],
    split: Split,
    pool: ReferencePool,
    *,
    settings: AuditSettings | None = None,
) -> RecordAudit:
    """Tell of a request for one record how models rank it among unseen samples, by every attack (`audit.record`).

    Everything is as in `audit_models`, but that there is no verdict, as one record shows no rate, and no attack by
    shadows, as half of the references have nothing to forget. Raises AuditError for a request for more than one, and as
    `audit_models` does.

    >>> import tempfile
    >>> import obliviate as ob
    >>> data = ob.load_data("digits", train_size=100)
    >>> recipe = ob.recipe_for(data, epochs=2)
    >>> experiment = ob.Experiment(ob.task_of(data), recipe, data.train, data.test.select(data.test.ids[:60]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = ob.train_references(experiment, folder=folder, models=4, workers=0)
    ...     record = audit_record(experiment, [ob.train(experiment)], experiment.split(data.train.ids[:1]), pool)
    >>> record.verdict, record.models[0].of("rmia").unseen
    ('not resolvable with these data', 60)
    """
    evaluation, candidates = ask_models(experiment, models, split, pool, {})
    return rank_record(candidates, evaluation.pool, evaluation.audited, settings or AuditSettings())


def ask_models(
    experiment: Experiment,
    models: Sequence[TrainedModel],
    split: Split,
    pool: ReferencePool,
    shadows: Mapping[str, ShadowPool],
    *,
    grouped: bool = False,
) -> tuple[Evaluation, list[Candidate]]:
    """What models say of the samples of a request, after the checks that come before it."""
    labels = [model.label for model in models]
    if strange := sorted(set(shadows) - set(labels)):
        raise AuditError(
            f"expected shadows by the labels of the models ({', '.join(labels)}), got {', '.join(strange)}; "
            "use `TrainedModel.label`"
        )
    _refuse_teachers(models, pool)
    for samples in (split.forget, split.kept, experiment.unseen):
        samples.check_steady(what="samples of an audit")
    for model in models:
        experiment.task.check_model(model.model, split.forget)
    evaluation = Evaluation.of(experiment, split, pool, grouped=grouped)
    return evaluation, [evaluation.candidate(model, shadows.get(model.label)) for model in models]


def _refuse_teachers(models: Sequence[TrainedModel], pool: ReferencePool) -> None:
    """Refuse a pool that one of the models learned from: a method must not see what judges it; raises AuditError."""
    if taught := [model.label for model in models if model.teachers == pool.fingerprint]:
        raise AuditError(
            f"expected references that no model has learned from, got the teachers {pool.fingerprint} of "
            f"{', '.join(taught)}; train references of another seed"
        )


def check_margins(settings: AuditSettings) -> None:
    """Refuse margins that no difference of AUCs or accuracies can lie in; raises AuditError.

    >>> check_margins(AuditSettings(margin=0.05))
    """
    if settings.margin is not None and not 0 < settings.margin <= 0.5:
        raise AuditError(
            f"expected a margin above 0 and up to 50 points of AUC, got {100 * settings.margin:g}; 5 is a usual one"
        )
    if not 0 <= settings.utility_margin <= 1:
        raise AuditError(
            f"expected a utility margin from 0 to 100 points, got {100 * settings.utility_margin:g}; the default is 3"
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a request is judged on: its samples, the pool's outputs for them, and which of them play which part."""

    samples: Samples
    pool: Pool
    audited: AuditSamples
    task: Task

    @classmethod
    def of(cls, experiment: Experiment, split: Split, pool: ReferencePool, *, grouped: bool = False) -> Evaluation:
        """Look the forget, retain and test samples up in the pool.

        Raises AuditError for samples outside the experiment or the pool, and for test samples that are in the split's
        holdout set as well, which methods may learn from.
        """
        experiment.check_split(split)
        unseen, task = experiment.unseen, experiment.task
        everything = split.forget.joined(split.kept, unseen)
        rows = pool.rows(everything.ids)
        counts = np.cumsum([len(split.forget), len(split.kept), len(unseen)])
        forget, retain, held_out = np.split(np.arange(counts[-1]), counts[:2])
        audited = AuditSamples(
            forget=forget,
            retain=retain,
            unseen=held_out,
            ids=everything.ids,
            grouped=grouped,
            **_known_of(everything.targets, task),
        )
        return cls(everything, Pool(logits=pool.logits.rows(rows), included=pool.included[:, rows]), audited, task)

    def candidate(self, model: TrainedModel, shadows: ShadowPool | None = None) -> Candidate:
        """Ask a model for its outputs: the part of an audit that takes time, and that can be kept.

        `shadows` are references that were unlearned by the model's method (`train_shadows`), for U-LiRA.
        """
        place = {str(name): row for row, name in enumerate(self.samples.ids)}
        share = model.trainable_share
        frozen = {TRAINABLE: share} if 0 < share < 1 else {}  # of a model that is frozen as a whole nothing is known
        return Candidate(
            name=model.label,
            role=model.role,
            method=model.method,
            seed=model.seed,
            logits=observed(model.model, self.samples, self.task).numpy(),
            seconds=model.seconds,
            weights_sha256=weights_sha256(model.model),
            settings=dict(model.notes) | frozen,
            shadows=None if shadows is None else _known(shadows, place),
        )

    def audit(self, candidates: Sequence[Candidate], settings: AuditSettings) -> AuditResult:
        """Compare candidates with the retrained ones among them."""
        return audit_candidates(candidates, self.pool, self.audited, settings)


def _known_of(y: Tensor, task: Task) -> dict[str, Any]:
    """What the figures of a task are read by: the classes of samples, or what `AuditSamples` has in their stead."""
    if isinstance(task, Classification):
        return {"labels": y.numpy(), "class_names": task.names}
    null_loss = task.null_loss(y)
    return {
        "labels": None,
        "present": (y > 0.5).numpy() if task.utility == "labels" else None,
        "tokens": task.utility == "tokens",
        "null_loss": None if null_loss is None else null_loss.double().numpy(),
    }


def _known(shadows: ShadowPool, place: Mapping[str, int]) -> Shadows:
    """What shadows say of the samples of an audit; of others, which an audit may leave out, nothing is compared."""
    audited = np.array([str(name) in place for name in shadows.ids])
    return Shadows(
        logits=shadows.logits.rows(np.flatnonzero(audited)),
        included=shadows.included[:, audited],
        index=np.array([place[str(name)] for name in shadows.ids[audited]]),
        forget=shadows.forget[audited],
    )
