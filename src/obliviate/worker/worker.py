"""A worker: takes requests that wait, has them unlearned in the workspace, and ends each with a certificate.

Every step is found again by what it is (workspace) or entered once (ledger), so that a worker that is killed at any
moment leaves what the next one goes on from. The last step is one transaction: what the requests came to, and which
model serves. The pointer that serving code reads follows the ledger.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from obliviate._util.files import LOG, sha256_of
from obliviate._util.locks import Holder
from obliviate.audit.inputs import AuditSettings
from obliviate.certificate.model_signature import ModelKey, check_installed
from obliviate.errors import (
    AuditError,
    DataError,
    LedgerError,
    MethodError,
    ProjectError,
    RecipeError,
    TrainingError,
    UnavailableError,
)
from obliviate.ledger import Lease, Outcome
from obliviate.ledger.chain import Event
from obliviate.methods import from_dict
from obliviate.methods.base import Method
from obliviate.project import Project, webhooks
from obliviate.project.progress import Written
from obliviate.requests import KeptModel
from obliviate.training.progress import Progress, silent
from obliviate.worker.certify import Accepted, certify, code
from obliviate.worker.index import index, opened
from obliviate.worker.judgement import Audited, file_of, read_audit, verdict_on
from obliviate.worker.lease import kept_up
from obliviate.workspace import NewRequest, ReportSettings, Workspace
from obliviate.workspace.forget import Context, choose

REFUSED = (DataError, MethodError, RecipeError, AuditError)
"""What lies in the request or the project, and would be the same tomorrow; all else may be mended and gone on with."""


def work(
    project: Project,
    *,
    most: int | None = None,
    forever: bool = False,
    progress: Progress = silent,
    wait: Callable[[float], object] = time.sleep,
) -> list[int]:
    """Work on what waits, batch by batch, until nothing does; returns the numbers of the batches.

    `most` batches are done at most; `forever` looks again every few seconds. Where another process works on the
    project, nothing is done. How far it is stands in the project's folder meanwhile (`project.progress`), and addresses
    that the project names are told what ended (`project.webhooks`). Raises WorkspaceError and its like where a disk is
    full, say: the batch is given back, and the next worker goes on with it. A ledger that cannot be reached is waited
    for by a worker that works `forever`; else UnavailableError says so.
    """
    done: list[int] = []
    if project.config.model_signature:
        check_installed()  # before any work
    progress = _shown(project, progress)
    while True:
        try:
            webhooks.deliver(project)
            if not _is_busy(project):
                _serve_original(project, progress)
                project.point()
                done += _work_off(project, None if most is None else most - len(done), progress)
                webhooks.deliver(project)
        except UnavailableError as error:
            if not forever:
                raise
            LOG.warning("the ledger cannot be reached, and the worker waits for it: %s", error)
        if not forever or (most is not None and len(done) >= most):
            return done
        wait(5.0)


def _work_off(project: Project, most: int | None, progress: Progress) -> list[int]:
    done: list[int] = []
    config = project.config
    while most is None or len(done) < most:
        lease = project.ledger.claim(most=config.batch, alone=True, seconds=config.lease, attempts=config.attempts)
        if lease is None:
            break
        with ExitStack() as unfinished:
            unfinished.callback(project.ledger.release, lease)
            with kept_up(project.ledger, lease, config.lease, progress) as watched:
                _Batch(project, lease, index(project, opened(project, progress=watched))).run()
            unfinished.pop_all()
        project.point()
        done.append(lease.batch)
    return done


def _shown(project: Project, progress: Progress) -> Progress:
    """A progress that others can look at too."""
    written = Written(project.folder)

    def show(stage: str, done: float, total: float) -> None:
        written(stage, done, total)
        progress(stage, done, total)

    return show


def _is_busy(project: Project) -> bool:
    """Whether another process works in the workspace just now."""
    holder = Holder.of(project.workspace)
    return holder is not None and holder.pid != os.getpid() and bool(holder.alive)


def _serve_original(project: Project, progress: Progress) -> None:
    """Train the original and serve it, if nothing serves yet."""
    if project.ledger.serving is not None:
        return
    workspace = index(project, opened(project, progress=progress))
    original = workspace.train()
    (kept,) = [kept for kept in workspace.kept() if kept.id == original.id]
    promotion = project.promotion(kept.id, kept.slot.path, kept.manifest.weights_sha256, 0)
    project.ledger.begin_serving(promotion, code=code(workspace))


@dataclass(frozen=True, eq=False)
class _Batch:
    """One batch at work."""

    project: Project
    lease: Lease
    workspace: Workspace

    def run(self) -> None:
        """Do the whole, or go on with it; what is refused ends the requests as failed, with the kind of the error."""
        ledger, outcomes = self.project.ledger, dict[int, Outcome]()
        before = ledger.tip()
        after = None if before.batch == 0 else before.model
        number = self.workspace.following(after)
        forgotten = [id_ for request in self.workspace.requests[: number - 1] for id_ in request.ids]
        chosen: dict[int, list[str]] = {}
        for request in self.lease.requests:
            try:
                chosen[request.number] = self._ids(request.number, number, forgotten)
            except REFUSED as error:
                outcomes[request.number] = Outcome("failed", {"reason": type(error).__name__})
        gone = set(forgotten)
        ids = [id_ for id_ in dict.fromkeys(id_ for of in chosen.values() for id_ in of) if id_ not in gone]
        if not ids:
            already = dict.fromkeys(chosen, Outcome("done", {"already": True}))
            ledger.finish(self.lease, outcomes | already)
            return
        self._refuse_unfinished(number, ids)
        try:
            accepted = self._accepted(ids, number, after)
        except REFUSED as error:
            LOG.warning("batch %d failed: %s", self.lease.batch, type(error).__name__)
            failed = dict.fromkeys(chosen, Outcome("failed", {"reason": type(error).__name__}))
            ledger.finish(self.lease, outcomes | failed)
            return
        signed = self._signed(accepted.kept)
        promotion = self.project.promotion(
            accepted.kept.id, accepted.kept.slot.path, accepted.kept.manifest.weights_sha256, self.lease.batch
        )
        for request in self.lease.requests:
            if request.number in chosen:
                digest = certify(self.project, self.workspace, request, accepted, before, promotion)
                outcomes[request.number] = Outcome("done", {"certificate_sha256": digest, **signed})
        ledger.finish(self.lease, outcomes, promote=promotion)

    def _signed(self, kept: KeptModel) -> dict[str, Any]:
        """The facts of the signature of a model's weights, where the policy has them signed; it is made first."""
        if not self.project.config.model_signature:
            return {}
        signature = self.project.model_signature(kept.id)
        ModelKey.create(self.project.keys).sign(kept.slot.path, signature)
        return {"model": kept.id, "model_signature_sha256": sha256_of(signature)}

    def _refuse_unfinished(self, number: int, ids: Sequence[str]) -> None:
        requests = self.workspace.requests
        if number <= len(requests) and sorted(requests[number - 1].ids) != sorted(ids):
            raise ProjectError(
                "expected the batch before this one to be done or never begun, got one that failed after models were "
                "made for it; mend the cause, and run `obliviate work --retry`"
            )

    def _ids(self, request: int, number: int, forgotten: Sequence[str]) -> list[str]:
        """The ids that a request is for, by the pseudonyms in the ledger, or by its rule, which is followed once."""
        ledger, pseudonyms = self.project.ledger, self.project.pseudonyms
        names = {pseudonyms.of("sample", f"train {id_}"): id_ for id_ in self.workspace.data.train.ids.tolist()}
        queued = ledger.request(request)
        if queued.sealed is not None and not ledger.asked_by(request):
            context = Context(self.workspace.folder, self.workspace.origin, number, np.array(forgotten, dtype=np.str_))
            rule = choose(pseudonyms.unseal(queued.sealed), context)
            if not len(rule.ids):
                raise DataError("expected samples, got a rule that chooses none; ask for others")
            ledger.resolve(self.lease, request, [pseudonyms.of("sample", f"train {id_}") for id_ in rule.ids])
        try:
            return [names[pseudonym] for pseudonym in ledger.asked_by(request)]
        except KeyError as error:
            raise LedgerError(
                f"expected the samples of request {request} in the data, got data or a key without one; restore both"
            ) from error

    def _accepted(self, ids: list[str], number: int, after: str | None) -> Accepted:
        """The outcome of the first method that is good enough, at last that of retraining."""
        config, tried = self.project.config, list[dict[str, str]]()
        for name in config.methods:
            method = from_dict({"name": name, "settings": dict(config.settings.get(name, {}))})
            last = name == config.methods[-1]
            try:
                kept, audited = self._audited(method, ids, number, after)
            except (MethodError, TrainingError) as error:
                if last:
                    raise
                tried.append({"method": repr(method), "verdict": f"could not be done ({type(error).__name__})"})
                continue
            verdict = verdict_on(kept.manifest.weights_sha256, audited)
            judged = self._judged(kept, method, audited, number)
            if last or method.exact or config.action(verdict) == "promote":
                return Accepted(kept, method, audited, judged, tuple(tried), tuple(ids))
            tried.append({"method": repr(method), "verdict": verdict})
        raise AssertionError("retraining is the last method")

    def _audited(
        self, method: Method, ids: list[str], number: int, after: str | None
    ) -> tuple[KeptModel, Audited | None]:
        """What a method made, and the audit of it: the one that is there, if it has this model.

        One record is ranked. None where no audit can be made, or the project plans none.
        """
        config = self.project.config
        tune = 0 if method.exact else config.tune
        unlearned = self.workspace.unlearn(method, request=NewRequest(forget=ids, after=after), tune=tune)
        (kept,) = [kept for kept in self.workspace.kept() if kept.id == unlearned.id]
        if not config.references:
            return kept, None
        audited = read_audit(self.workspace.place(number), kept.manifest.weights_sha256)
        if audited is not None:
            return kept, audited
        evidence: dict[str, Any] = {
            "references": config.references,
            "retrained": config.retrained,
            "request": number,
            "settings": AuditSettings(margin=None if config.margin is None else config.margin / 100),
            "workers": config.workers,
        }
        try:
            if len(ids) == 1:
                return kept, self.workspace.audit_record(**evidence)
            return kept, self.workspace.audit(**evidence, report=ReportSettings(pictures=False))
        except AuditError:
            LOG.warning("batch %d cannot be audited: it has too few samples, or of too few kinds", self.lease.batch)
            return kept, None

    def _judged(self, kept: KeptModel, method: Method, audited: Audited | None, number: int) -> Event:
        """The entry that says how a model was judged, which is made once."""
        place = self.workspace.place(number)
        facts: dict[str, Any] = {
            "model": kept.id,
            "method": repr(method),
            "verdict": verdict_on(kept.manifest.weights_sha256, audited),
            "weights_sha256": kept.manifest.weights_sha256,
            "results_sha256": None if audited is None else sha256_of(file_of(place, audited)),
            "code": code(self.workspace),
        }
        entered = self.project.ledger.of_batch(self.lease.batch, "judged")
        if not any(dict(event.facts) == facts for event in entered):
            self.project.ledger.note(self.lease, "judged", **facts)
            entered = self.project.ledger.of_batch(self.lease.batch, "judged")
        return next(event for event in entered if dict(event.facts) == facts)
