"""The audit of a request, and the look into its models: what is missing is made first, and what was found written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from obliviate import inspection, workflow
from obliviate._util.files import LOG, sha256_of, write_atomically, write_json, write_sealed_json
from obliviate.audit.controls import outlook
from obliviate.audit.inputs import AuditSettings, check_classes
from obliviate.audit.record import missing
from obliviate.data.erased import erased_ids
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError, TrainingError
from obliviate.references.pool import ReferencePool
from obliviate.references.shadows import ShadowPool
from obliviate.report import record as record_page
from obliviate.requests import KeptModel, Request
from obliviate.results import file as results_file
from obliviate.results.record import RecordAudit
from obliviate.results.schema import Results
from obliviate.task import Classification
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.workflow import ShadowUnlearning, TrainedModel
from obliviate.workflow.auditing import LEAST_FORGOTTEN
from obliviate.workspace import evidence, making, scores
from obliviate.workspace.contents import Contents
from obliviate.workspace.evidence import Makers
from obliviate.workspace.report import write_report

INSPECTION: Final = "obliviate.inspection/1"

Retrain = Callable[[int, int], object]
"""Retrains so many models for the request of a number."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What a report says and shows besides the findings.

    `pictures` shows the most exposed forget samples, where they are images. `command` is what a reader types to repeat
    the audit, and `since` when the work began (`time.monotonic()`), if that was before it.

    >>> ReportSettings(pictures=False).command is None
    True
    """

    pictures: bool = True
    command: str | None = None
    since: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How many references and retrained models an audit shall rest on, whether shadows are made, and by whom."""

    references: int
    retrained: int
    shadows: bool
    makers: Makers


def audit(
    contents: Contents,
    request: int | None,
    wanted: Evidence,
    settings: AuditSettings,
    report: ReportSettings,
    retrain: Retrain,
) -> Results:
    """Audit every model of a request; write `results.json` and `report.html` in its folder."""
    contents.origin.recipe.check_trainable()
    evidence.check_counts(references=wanted.references, retrained=wanted.retrained)
    workflow.check_margins(settings)
    since = time.monotonic() if report.since is None else report.since
    kept, origin = contents.requests.numbered(request), contents.origin
    number, split, unseen = kept.number, contents.split_of(kept.number), contents.unseen(kept.number)
    _check_request(contents, kept, split, unseen, retrained=wanted.retrained)
    if coarse := outlook(len(split.forget), len(unseen), settings.margin):
        LOG.warning(coarse)  # before models are trained in vain
    making.served(contents, number)
    retrain(wanted.retrained, number)
    pool = making.references(contents, wanted.references, wanted.makers)
    compared = contents.compared(number)
    models = contents.read(compared)
    shadows, notes = _shadows(contents, number, split, pool, (compared, models), wanted.makers) if wanted.shadows else (
        {}, []
    )  # fmt: skip
    contents.progress("audit", 0, 1)
    audited = replace(origin.experiment, test=unseen)
    result = workflow.audit_models(
        audited, models, split, pool, settings=settings, shadows=shadows, grouped=kept.grouped
    )
    coin_flips, planted_noise, untested = origin.plan.tests(models, split, origin.task)
    if left_out := len(origin.data.test) - len(unseen):
        notes.append(f"{left_out:,} test samples of owners who are forgotten were left out of this audit")
    circumstances = workflow.Circumstances(
        data_name=origin.data.name,
        data_sha256=origin.data.sha256,
        forget_rule=kept.full_rule,
        wall_seconds=time.monotonic() - since,
        command=report.command,
        pictures=report.pictures,
        notes=(*notes, *untested),
        warning=coarse,
    )
    results = workflow.describe(
        audited, result, split, pool, circumstances, coin_flips=coin_flips, planted_noise=planted_noise
    )
    place = contents.requests.at(number)
    for path in (place.report, place.scores):  # of the audit before: never beside the results of another
        path.unlink(missing_ok=True)
    results_file.write(place.results, results)
    scores.write(place.scores, result, forget=split.forget.ids, unseen=unseen.ids)
    contents.progress("audit", 1, 1)
    write_report(contents.folder, number)
    contents.requests.log_audit(number)
    return results


def audit_record(
    contents: Contents, request: int | None, wanted: Evidence, settings: AuditSettings, retrain: Retrain
) -> RecordAudit:
    """Rank the one record of a request on every model; write `record.json` and `report.html` in its folder."""
    contents.origin.recipe.check_trainable()
    evidence.check_counts(references=wanted.references, retrained=wanted.retrained)
    kept, origin = contents.requests.numbered(request), contents.origin
    number, split, unseen = kept.number, contents.split_of(kept.number), contents.unseen(kept.number)
    refuse_erased(split)
    if len(split.forget) != 1:
        raise AuditError(f"expected a request for one record, got one for {len(split.forget):,}; use `audit`")
    if wanted.shadows:
        raise AuditError(
            "expected an audit of one record without shadows, got one with: half of the references never had it, and "
            "have nothing to forget; leave out --shadows"
        )
    contents.compared(number)
    making.served(contents, number)
    retrain(wanted.retrained, number)
    pool = making.references(contents, wanted.references, wanted.makers)
    models = contents.read(contents.compared(number))
    contents.progress("audit", 0, 1)
    audited = workflow.audit_record(replace(origin.experiment, test=unseen), models, split, pool, settings=settings)
    place = contents.requests.at(number)
    write_sealed_json(place.record, audited.to_dict())
    page = record_page.render(audited)
    write_atomically(place.report, lambda temporary: temporary.write_text(page, encoding="utf-8"))
    contents.progress("audit", 1, 1)
    contents.requests.log.append("audited", request=number, results_sha256=sha256_of(place.record))
    return audited


def inspect(
    contents: Contents, request: int | None, retrained: int, epochs: int, learning_rate: float | None, retrain: Retrain
) -> dict[str, Any]:
    """Look into every model of a request (`inspect_models`); write `inspection.json`."""
    if retrained < 0:
        raise AuditError(f"expected 0 or more retrained models, got {retrained}; 3 is the default")
    inspection.check_settings(epochs, learning_rate)
    kept, origin = contents.requests.numbered(request), contents.origin
    split, unseen = contents.split_of(kept.number), contents.unseen(kept.number)
    refuse_erased(split)
    contents.compared(kept.number)
    making.served(contents, kept.number)
    retrain(retrained, kept.number)
    inspected = inspection.inspect_models(
        replace(origin.experiment, test=unseen),
        contents.read(contents.compared(kept.number)),
        split,
        epochs=epochs,
        learning_rate=learning_rate,
        progress=contents.progress,
    )
    values = {
        "schema": INSPECTION,
        "seed": origin.seed,
        "data_sha256": origin.data.sha256,
        "data": _data_facts(origin.data.train, split, unseen, kept),
        **inspected.to_dict(),
    }
    write_json(contents.requests.at(kept.number).inspection, values)
    contents.requests.log.append("inspected", request=kept.number)
    return values


def _check_request(contents: Contents, kept: Request, split: Split, unseen: Samples, *, retrained: int) -> None:
    """Refuse, before anything is trained in vain, a request that cannot be audited; raises AuditError."""
    refuse_erased(split)
    if len(split.forget) < LEAST_FORGOTTEN:
        raise AuditError(
            f"expected {LEAST_FORGOTTEN} samples to forget or more, got one record: {missing(len(unseen))}; "
            "`Workspace.audit_record`, which `obliviate audit` takes then, tells its rank and its p-value"
        )
    if not retrained:
        _check_without_retrained(contents, kept, split)
    contents.compared(kept.number)  # which refuses what contradicts the request


def refuse_erased(split: Split) -> None:
    """Refuse, before any work, to judge models by samples of which the rows are gone; raises AuditError."""
    if len(gone := erased_ids(split.forget)):
        raise AuditError(
            f"expected the rows of the samples to forget, got {len(gone):,} of {len(split.forget):,} that were erased "
            f"from the source (first: {str(gone[0])!r}): attacks, the accuracy on the forget set, the verdict and "
            "exposed samples are figures of these rows, and no model can be asked about them; what `unlearn` prints of "
            "retained and unseen samples stands, a model made by retrain or sisa never saw them, and for all else "
            "restore the rows, or audit before they are erased"
        )


def _data_facts(train: Samples, split: Split, unseen: Samples, request: Request) -> dict[str, Any]:
    return {
        "forget": len(split.forget),
        "train": len(train),
        "test": len(unseen),
        "forget_rule": request.full_rule,
    }


def _check_without_retrained(contents: Contents, request: Request, split: Split) -> None:
    """Refuse, before any work, an audit that would have no baseline; raises AuditError."""
    at_hand = sum(kept.manifest.role == "retrained" for kept in contents.requests.models(request.number))
    evidence.check_chosen(request.references, retrained=at_hand)
    if isinstance(contents.origin.task, Classification):
        labels = (samples.everything().y.cpu().numpy() for samples in (split.forget, split.kept))
        check_classes(*labels, retrained=at_hand)


def _shadows(
    contents: Contents,
    number: int,
    split: Split,
    pool: ReferencePool,
    models: tuple[list[KeptModel], list[TrainedModel]],
    makers: Makers,
) -> tuple[dict[str, ShadowPool], list[str]]:
    """Shadows of every unlearned model, after the requests before; and of which models there are none, and why.

    The references are read once for all models. Where that fails, each model has shadows made by itself, so that one
    whose method fails does not take them from the others.
    """
    earlier = [contents.requests.served(later).manifest for later in range(2, number + 1)]
    unlearnings: dict[str, ShadowUnlearning] = {}
    notes: list[str] = []
    for kept, model in zip(*models, strict=True):
        if model.role != "unlearned":
            continue
        try:
            chain = [(manifest, contents.split_of(place)) for place, manifest in enumerate(earlier, start=1)]
            unlearnings[model.label] = workflow.shadow_unlearning(
                contents.origin.experiment,
                [
                    evidence.made_by(manifest, request, partial(_scale, contents, place, manifest.seed))
                    for place, (manifest, request) in enumerate([*chain, (kept.manifest, split)], start=1)
                ],
                teachers=evidence.teachers_of([kept.manifest, *earlier], partial(making.teachers, contents)),
            )
        except MethodError as error:
            notes.append(_without_shadows(model.label, error))
    shadows, failures = _made(contents, pool, unlearnings, makers)
    return shadows, notes + failures


def _made(
    contents: Contents, pool: ReferencePool, unlearnings: Mapping[str, ShadowUnlearning], makers: Makers
) -> tuple[dict[str, ShadowPool], list[str]]:
    if not unlearnings:
        return {}, []
    try:
        return workflow.train_shadows_by_each(
            contents.origin.experiment,
            pool,
            unlearnings,
            workers=makers.workers,
            executor=makers.executor,
            progress=contents.progress,
        ), []
    except (MethodError, TrainingError) as error:
        if len(unlearnings) == 1:
            return {}, [_without_shadows(label, error) for label in unlearnings]
    shadows: dict[str, ShadowPool] = {}
    notes: list[str] = []
    for label, unlearning in unlearnings.items():
        of_model, failures = _made(contents, pool, {label: unlearning}, makers)
        shadows |= of_model
        notes += failures
    return shadows, notes


def _without_shadows(label: str, error: MethodError | TrainingError) -> str:
    return f"{label} was audited without U-LiRA, for it has no shadows: {error}"


def _scale(contents: Contents, number: int, seed: int) -> Scale:
    """What relative settings of a method were multiples of when it served a request."""
    recipe = contents.origin.recipe
    if Scale.is_known_of(recipe):
        return Scale.of(recipe)
    served = making.served(contents, number)
    run = Run(served.task, seed=seed, recipe=recipe)
    return run.scale(served.model, workflow.kept(contents.split_of(number)))
