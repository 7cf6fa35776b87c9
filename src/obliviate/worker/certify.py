"""The certificate of a request, made of what the workspace and the ledger say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import obliviate
from obliviate._util.files import sha256_of
from obliviate.certificate import SigningKey, issue
from obliviate.certificate.page import write
from obliviate.certificate.statement import Asked, Position, State, Statement
from obliviate.ledger import Promotion
from obliviate.ledger.chain import Event
from obliviate.ledger.records import Queued
from obliviate.methods.base import Method
from obliviate.project import Project
from obliviate.project.names import moment
from obliviate.requests import KeptModel
from obliviate.worker.judgement import Audited, judgement
from obliviate.workspace import Workspace
from obliviate.workspace.origin import read_facts


@dataclass(frozen=True)
class Accepted:
    """The outcome that is to serve: the model, its method, its audit (None where none was made), and the entry of it.

    `tried` are the methods before, each with its verdict; `ids` is what was forgotten.
    """

    kept: KeptModel
    method: Method
    audited: Audited | None
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
        judgement=judgement(
            accepted.kept.manifest.weights_sha256,
            accepted.audited,
            exact=accepted.method.exact,
            planned=project.config.references > 0,
            results_sha256=accepted.judged.facts["results_sha256"],
        ),
        ledger=Position(accepted.judged.number, accepted.judged.sha256, moment(accepted.judged.time)),
        tried=accepted.tried,
    )
    path = project.certificate(request.number)
    certificate = issue(path, statement, SigningKey.read(project.keys))
    write(path.with_suffix(".html"), certificate, name=path.name)
    return sha256_of(path)


def _code_of(project: Project, served: Promotion) -> Mapping[str, str]:
    """The code by which a model was made, as it was entered then."""
    if served.batch == 0:
        return project.ledger.of_kind("trained")[0].facts["code"]
    judged = project.ledger.of_batch(served.batch, "judged")
    return next(event.facts["code"] for event in reversed(judged) if event.facts["model"] == served.model)
