"""The certificate of a request, made of what the workspace and the ledger say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import obliviate
from obliviate._util.files import sha256_of
from obliviate.certificate import SigningKey, issue
from obliviate.certificate.page import write
from obliviate.certificate.statement import Asked, Figure, Judgement, Position, State, Statement
from obliviate.ledger import Promotion
from obliviate.ledger.chain import Event
from obliviate.ledger.ledger import Queued
from obliviate.methods.base import Method
from obliviate.project import Project
from obliviate.project.project import moment
from obliviate.requests import KeptModel
from obliviate.results.findings import Findings
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results
from obliviate.results.values import Interval, Verdict
from obliviate.workspace import Workspace
from obliviate.workspace.origin import read_facts

UNAUDITED: Final[Verdict] = "not resolvable with these data"
NOT_AUDITED: Final = "No audit could be made: the request has too few samples, or samples of too few kinds."
NOTHING_SHOWN: Final = ("Nothing was measured of this model; what is certified is how it was made.",)


@dataclass(frozen=True)
class Accepted:
    """The outcome that is to serve: the model, its method, what the audit found, and the entry that says so.

    Where no audit could be made, nothing was found. `tried` are the methods before, each with its verdict; `ids` is
    what was forgotten.
    """

    kept: KeptModel
    method: Method
    result: ModelResult | None
    results: Results | None
    judged: Event
    tried: Sequence[Mapping[str, str]]
    ids: Sequence[str]


def code(workspace: Workspace) -> dict[str, str]:
    """Hashes of the code that a model is made by: this package, the architecture as built, and the task."""
    facts = read_facts(workspace.folder)
    built = {name: str(facts[name]) for name in ("architecture_sha256", "task_sha256")}
    return {"obliviate": obliviate.__version__, "package_sha256": _package_sha256(), **built}


@cache
def _package_sha256() -> str:
    root = Path(obliviate.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def certify(
    project: Project,
    workspace: Workspace,
    request: Queued,
    accepted: Accepted,
    before: Promotion,
    promotion: Promotion,
) -> str:
    """Write the certificate of a request and its page; returns the hash of the certificate.

    It is the same whoever writes it: a worker that takes over writes it again, as it was.
    """
    ledger, pseudonyms = project.ledger, project.pseudonyms
    ids = workspace.data.train.ids.tolist()
    number = workspace.place().path.name
    earlier = {id_ for asked in workspace.requests[: int(number) - 1] for id_ in asked.ids}
    known_before = [id_ for id_ in ids if id_ not in earlier]
    known_after = [id_ for id_ in known_before if id_ not in set(accepted.ids)]

    def state(weights_sha256: str, known: Sequence[str], of_code: Mapping[str, str]) -> State:
        keyed = pseudonyms.of_all("trained on", known)
        return State(weights_sha256, workspace.data.sha256, len(known), keyed, of_code)

    statement = Statement(
        file=Path(promotion.file).name,
        file_sha256=promotion.file_sha256,
        request=Asked(
            request.number,
            request.kind,
            moment(request.submitted),
            ledger.asked_by(request.number),
            ledger.asked_by(request.number, "owner"),
            request.counts,
        ),
        method=accepted.kept.manifest.method,
        before=state(before.weights_sha256, known_before, _code_of(project, before)),
        after=state(promotion.weights_sha256, known_after, accepted.judged.facts["code"]),
        judgement=_judgement(accepted),
        ledger=Position(accepted.judged.number, accepted.judged.sha256, moment(accepted.judged.time)),
        tried=accepted.tried,
    )
    path = project.certificate(request.number)
    certificate = issue(path, statement, SigningKey.read(project.keys))
    write(path.with_suffix(".html"), certificate, name=path.name)
    return sha256_of(path)


def _judgement(accepted: Accepted) -> Judgement:
    """What the audit says of the model that serves, or that there is none."""
    result, results, exact = accepted.result, accepted.results, accepted.method.exact
    if result is None or results is None:
        return Judgement(UNAUDITED, NOT_AUDITED, exact, None, None, (), NOTHING_SHOWN, None)
    return Judgement(
        verdict=result.verdict,
        reason=result.reason,
        exact=exact,
        margin=result.margin,
        resolution=result.resolution,
        figures=tuple(figures(result, results)),
        limits=results.limits,
        results_sha256=accepted.judged.facts["results_sha256"],
    )


def _code_of(project: Project, served: Promotion) -> Mapping[str, str]:
    """The code by which a model was made, as it was entered then."""
    if served.batch == 0:
        return project.ledger.of_kind("trained")[0].facts["code"]
    judged = project.ledger.of_batch(served.batch, "judged")
    return next(event.facts["code"] for event in reversed(judged) if event.facts["model"] == served.model)


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
