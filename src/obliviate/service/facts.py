"""What the API and the dashboard show of a project; nobody's name and no id of a sample is in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from obliviate.errors import ObliviateError
from obliviate.project import Project, progress
from obliviate.project.names import moment

FRESH: Final = 900.0  # seconds after which a stage that nobody reports any more is not shown
CHECKED: Final = 30.0  # seconds for which one check of the ledger serves all who ask
WORDS: Final = (
    ("the most exposed ones are named", "the audit in the workspace names the most exposed ones, this page does not"),
    (" The report itself shows some of them: `--no-pictures` leaves them out.", ""),
)
"""What limits say of a report that names samples, and what they say of one that does not."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a project; every answer is read anew, but for the check of the ledger."""

    project: Project
    clock: Callable[[], float] = time.monotonic
    _lock: AbstractContextManager[Any] = field(default_factory=threading.Lock)
    _checked: dict[str, Any] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        """How the project stands (`schemas.Status`)."""
        facts = self.project.status(most=0)
        return {
            "requests": facts["requests"],
            "due": facts["due"],
            "soon": facts["soon"],
            "running": [batch["batch"] for batch in facts["running"]],
            "stage": self.stage(),
            "served": None if facts["served"] is None else facts["served"]["model"],
            "events": facts["events"],
        }

    def stage(self) -> dict[str, Any] | None:
        """What the worker said last, if that was not long ago."""
        stage = progress.read(self.project.folder)
        if stage is None or abs(self.project.clock() - stage.time) > FRESH:
            return None
        return {"stage": stage.stage, "percent": stage.percent, "time": moment(stage.time)}

    def requests(self, most: int, before: int | None, state: str | None) -> dict[str, Any]:
        """A page of requests, the newest first (`schemas.Page`)."""
        queued = self.project.ledger.page(most + 1, before=before, state=state)
        more = len(queued) > most
        shown = queued[:most]
        return {
            "requests": [self.project.described(entry) for entry in shown],
            "next": shown[-1].number if more else None,
        }

    def has(self, number: int) -> bool:
        """Whether there is a request of this number."""
        return 1 <= number <= self.project.ledger.head.requests

    def request(self, number: int) -> dict[str, Any]:
        """A request with its history (`schemas.RequestInFull`)."""
        ledger = self.project.ledger
        history = ledger.of_request(number)
        failed = [event.facts.get("reason") for event in history if event.kind == "failed"]
        described = self.project.described(ledger.request(number))
        return described | {
            "history": [
                {"entry": event.number, "time": moment(event.time), "kind": event.kind, "sha256": event.sha256}
                for event in history
            ],
            "certificate": described["state"] == "done" and self.project.certificate(number).is_file(),
            "report": self._results(number) is not None,
            "reason": failed[-1] if failed and described["state"] == "failed" else None,
        }

    def serving(self) -> dict[str, Any]:
        """What serves and what served (`schemas.Serving`)."""
        promotions = self.project.ledger.promotions(50)
        return {
            "served": asdict(promotions[0]) if promotions else None,
            "before": [asdict(promotion) for promotion in promotions[1:]],
            "unserved": self.project.ledger.done_after(promotions[0].batch) if promotions else [],
        }

    def integrity(self) -> dict[str, Any]:
        """Check the ledger, what serves and all certificates, once in half a minute (`schemas.Integrity`)."""
        with self._lock:
            if self._checked and self.clock() - self._checked["at"] < CHECKED:
                return self._checked["facts"]
            try:
                checked, problem = self.project.verify(), None
            except ObliviateError as error:
                checked, problem = {"events": 0, "certificates": 0}, self.cleaned(error)
            facts = {
                "intact": problem is None,
                "problem": problem,
                "events": checked["events"],
                "certificates": checked["certificates"],
                "time": moment(self.project.clock()),
            }
            self._checked.update(at=self.clock(), facts=facts)
            return facts

    def certificate(self, number: int) -> bytes | None:
        """The file of a certificate; None where there is none."""
        path = self.project.certificate(number)
        return path.read_bytes() if path.is_file() else None

    def certificate_page(self, number: int) -> str | None:
        """The page of a certificate, made of the file, whose signature is checked by the keys of the project.

        Raises CertificateError for a file that is not as it was signed.
        """
        from obliviate.certificate import SigningKey, public_key, read, verify
        from obliviate.certificate.page import render

        path = self.project.certificate(number)
        if not path.is_file():
            return None
        signing = SigningKey.read(self.project.keys)
        known = {key.keyid: key for key in map(public_key, [signing.public, *signing.retired])}
        key = known.get(read(path).key_id, known[signing.id])  # another's is refused by ours
        return render(verify(path, key=key), name=path.name)

    def report(self, number: int) -> str | None:
        """The report of the audit of a request's model, without names of samples; None where there is none."""
        path = self._results(number)
        if path is None:
            return None
        state = path.stat()
        return _report(path, state.st_mtime_ns, state.st_size)

    def _results(self, number: int) -> Path | None:
        """Where the results of the audit lie that the last judgement on a request's batch rests on."""
        from obliviate.requests import Requests

        batch = self.project.ledger.request(number).batch
        judged = self.project.ledger.of_batch(batch, "judged") if batch is not None else []
        if not judged or judged[-1].facts.get("results_sha256") is None:
            return None
        requests = Requests(self.project.workspace)
        for kept in requests.models():
            if kept.id == judged[-1].facts["model"] and kept.slot.request is not None:
                path = requests.at(kept.slot.request).results
                return path if path.is_file() else None
        return None

    def cleaned(self, error: ObliviateError) -> str:
        """What an error says, without places of this machine and in the words of the API."""
        text = str(error).replace(f"{self.project.folder}/", "").replace(str(self.project.folder), "the project")
        return text.replace("by --unknown skip", 'by "unknown": "skip"').replace("another --key", "another key")

    def metrics(self) -> str:
        """Figures of the project, as Prometheus reads them."""
        status = self.status()
        lines = ["# HELP obliviate_requests Requests by state.", "# TYPE obliviate_requests gauge"]
        lines += [f'obliviate_requests{{state="{state}"}} {count}' for state, count in status["requests"].items()]
        for name, value, words in (
            ("requests_due", len(status["due"]), "Requests that are due and not done."),
            ("requests_due_soon", len(status["soon"]), "Requests that are due soon."),
            ("batches_running", len(status["running"]), "Batches that are worked on."),
            ("ledger_entries", status["events"], "Entries of the ledger."),
        ):
            lines += [f"# HELP obliviate_{name} {words}", f"# TYPE obliviate_{name} gauge", f"obliviate_{name} {value}"]
        return "\n".join(lines) + "\n"


@lru_cache(maxsize=16)
def _report(path: Path, changed: int, size: int) -> str:  # noqa: ARG001 - another file of that name is read anew
    from obliviate.report import html
    from obliviate.results import file

    results = file.read(path)
    models = tuple(
        model.model_copy(update={"exposure": model.exposure.model_copy(update={"samples": ()})})
        for model in results.models
    )
    limits = results.limits
    for words, others in WORDS:
        limits = tuple(limit.replace(words, others) for limit in limits)
    data = results.data.model_copy(update={"forget_rule": "as a request asked"})
    shown = results.model_copy(update={"models": models, "pictures": {}, "data": data, "command": "", "limits": limits})
    return html.render(shown)
