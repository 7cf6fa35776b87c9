"""What a certificate says of how well a model forgot: by an audit, by the rank of one record, or by nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from obliviate._util.files import LOG, read_sealed_json
from obliviate.certificate.statement import Figure, Judgement
from obliviate.errors import ObliviateError
from obliviate.report.record import MEANING
from obliviate.requests import RequestFolder
from obliviate.results import file as results_file
from obliviate.results.findings import Findings
from obliviate.results.model import ModelResult
from obliviate.results.record import RecordAudit
from obliviate.results.schema import Results
from obliviate.results.values import Interval, Verdict

Audited: TypeAlias = Results | RecordAudit
"""The audit of a request, or of its one record."""

UNAUDITED: Final[Verdict] = "not resolvable with these data"
NOT_AUDITED: Final = "No audit could be made: the request has too few samples, or samples of too few kinds."
NOT_PLANNED: Final = "No audit was made: the audit plan of the project has no references."
NOTHING_SHOWN: Final = ("Nothing was measured of this model; what is certified is how it was made.",)
ONE_RECORD: Final = "The request is for one record, which was ranked among unseen samples by every attack."


def read_audit(place: RequestFolder, weights_sha256: str) -> Audited | None:
    """The audit that is there and has the model with these weights; None where there is none, or a damaged one."""
    for path in (place.results, place.record):
        if not path.exists():
            continue
        try:
            record = path == place.record
            audited = RecordAudit.from_dict(read_sealed_json(path)) if record else results_file.read(path)
        except (ObliviateError, ValueError):
            LOG.warning("the results in %s are damaged; the audit is made again", path)
            continue
        if any(model.weights_sha256 == weights_sha256 for model in audited.models):
            return audited
    return None


def file_of(place: RequestFolder, audited: Audited) -> Path:
    """Where an audit is written."""
    return place.record if isinstance(audited, RecordAudit) else place.results


def verdict_on(weights_sha256: str, audited: Audited | None) -> Verdict:
    """The verdict on the model with these weights."""
    if audited is None:
        return UNAUDITED
    if isinstance(audited, RecordAudit):
        return audited.verdict
    return _model(weights_sha256, audited).verdict


def judgement(
    weights_sha256: str, audited: Audited | None, *, exact: bool, planned: bool, results_sha256: str | None
) -> Judgement:
    """What is said of the model with these weights; `planned` is whether the project audits at all."""
    if audited is None:
        reason = NOT_AUDITED if planned else NOT_PLANNED
        return Judgement(UNAUDITED, reason, exact, None, None, (), NOTHING_SHOWN, None)
    if isinstance(audited, RecordAudit):
        return Judgement(
            verdict=audited.verdict,
            reason=f"{ONE_RECORD} No verdict follows: {audited.missing}.",
            exact=exact,
            margin=None,
            resolution=None,
            figures=tuple(ranks(weights_sha256, audited)),
            limits=(MEANING,),
            results_sha256=results_sha256,
        )
    model = _model(weights_sha256, audited)
    return Judgement(
        verdict=model.verdict,
        reason=model.reason,
        exact=exact,
        margin=model.margin,
        resolution=model.resolution,
        figures=tuple(figures(model, audited)),
        limits=audited.limits,
        results_sha256=results_sha256,
    )


def _model(weights_sha256: str, audited: Results) -> ModelResult:
    return next(model for model in audited.models if model.weights_sha256 == weights_sha256)


def ranks(weights_sha256: str, audited: RecordAudit) -> Iterator[Figure]:
    """The p-value of the record's rank by every attack on the model that serves, and by the leading one on others."""
    for model in sorted(audited.models, key=lambda model: model.weights_sha256 != weights_sha256):
        serves = model.weights_sha256 == weights_sha256
        for score in model.scores:
            if serves or score.attack == audited.lead:
                where = "the model that serves" if serves else model.name
                name = f"{score.attack}: p-value of the record's rank among {score.unseen} unseen samples, on {where}"
                yield Figure(name, 100 * score.p, None, None)


def figures(result: ModelResult, findings: Findings) -> Iterator[Figure]:
    """What was measured of a model, each figure with its interval."""

    def figure(name: str, interval: Interval, unit: str = "percent") -> Figure:
        return Figure(name, interval.value, interval.low, interval.high, unit)

    for part, interval in result.accuracy:
        yield figure(f"accuracy on {'unseen' if part == 'test' else part} samples", interval)
    for name, outcome in result.attacks.items():
        title = findings.titles.get(name, name)
        yield figure(f"{title}: AUC of forget against unseen samples", outcome.ft)
        if outcome.difference is not None:
            yield figure(f"{title}: difference of that AUC to the baseline", outcome.difference, "points")
    for utility in result.utility:
        yield figure(
            f"{utility.figure} on {utility.part} samples: difference to what is expected", utility.difference, "points"
        )
