"""A folder with a project: `obliviate.toml`, keys, ledger, certificates, and what serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from obliviate._util.files import check_sha256, read_sealed_json, sha256_of, write_atomically, write_sealed_json
from obliviate.data.lists import read_names
from obliviate.data.lookup import HEADINGS, Unknown, check_unknown, spelling
from obliviate.errors import LedgerError, ProjectError
from obliviate.ledger.names import Match, Name, counted
from obliviate.ledger.pseudonyms import Pseudonyms
from obliviate.project.config import FILE, Config, inside, template
from obliviate.project.names import check_names, is_rule, moment

if TYPE_CHECKING:
    from obliviate.ledger import Ledger, Promotion, Receipt
    from obliviate.ledger.records import Queued
    from obliviate.project.costs import Costs

SERVED: Final = "obliviate.served/1"
WORKSPACE: Final = "run"
DAY: Final = 86_400


@dataclass(frozen=True)
class Submitted:
    """What was answered to a request: its receipt, and what became of every name, as it was written."""

    receipt: Receipt
    names: tuple[tuple[str, str], ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many names were asked, found and unknown, and how many of any other status."""
        counts: dict[str, int] = {"asked": len(self.names), "found": 0, "unknown": 0}
        for _, status in self.names:
            counts[status] = counts.get(status, 0) + 1
        return counts

    @property
    def facts(self) -> dict[str, Any]:
        """The answer in JSON values, without the names."""
        receipt = self.receipt
        return {
            "request": receipt.request,
            "state": receipt.state,
            "new": receipt.new,
            "forgotten": receipt.forgotten,
            "counts": self.counts if self.names else {},
        }


@dataclass(frozen=True)
class Served:
    """The model that serves: its id, its file, the hash of its weights, and the last batch that it has forgotten."""

    model: str
    file: Path
    weights_sha256: str
    batch: int


@dataclass(frozen=True, eq=False)
class Project:
    """A folder that models are served from, and requests to forget are sent to; torch is not imported.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     project = Project.create(Path(folder), source="digits")
    ...     project.status()["requests"], project.served
    ({'pending': 0, 'running': 0, 'done': 0, 'failed': 0}, None)
    """

    folder: Path
    config: Config
    clock: Callable[[], float] = time.time

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        source: str | None = None,
        model: str | None = None,
        owner: str | None = None,
        methods: Sequence[str] = (),
    ) -> Project:
        """Begin a project in a folder, or bring one that is there up to date: its file, its keys and its ledger.

        `source` is where the data are; with `model`, `owner` and `methods` it is written to `obliviate.toml`, which
        must not be there yet. Raises ProjectError where it is, and for what cannot be.
        """
        path = folder / FILE
        options = [name for name, value in (("source", source), ("model", model), ("owner", owner)) if value]
        if path.exists():
            if options or methods:
                raise ProjectError(
                    f"expected no {FILE} in {folder}, to write what was given, got one; change it there, and repeat "
                    "the command without options"
                )
        elif source is None:
            raise ProjectError(f"expected where the data are, for a new {FILE}, got nothing; name them with --data")
        else:
            text = template(source, model=model, owner=owner, methods=tuple(methods))
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        project = cls(folder, Config.read(path))
        project.begin()
        return project

    @classmethod
    def open(cls, folder: Path | str = ".") -> Project:
        """Open a project; raises ProjectError, which names the line, for an `obliviate.toml` that cannot be."""
        return cls(Path(folder), Config.read(Path(folder) / FILE))

    def begin(self) -> None:
        """Make the keys and the ledger, where they are not there."""
        from obliviate.certificate import model_signature
        from obliviate.certificate.keys import SigningKey, owner_only
        from obliviate.ledger import Ledger

        fresh = not (self.keys / "pseudonyms.key").exists()
        if fresh and self.url.startswith("sqlite") and self.ledger_file.exists():
            Pseudonyms.read(self.keys / "pseudonyms.key")  # another key would make everybody in the ledger unknown
        owner_only(self.keys)
        Pseudonyms.create(self.keys / "pseudonyms.key")
        SigningKey.create(self.keys)
        if self.config.model_signature:
            model_signature.check_installed()
            model_signature.ModelKey.create(self.keys)
        self.certificates.mkdir(exist_ok=True)
        Ledger.create(self.url).close()

    # ------------------------------------------------------------------------------------------- where things lie

    @property
    def keys(self) -> Path:
        """The keys: the one of the pseudonyms, and those that certificates are signed by."""
        return self.folder / "keys"

    @property
    def certificates(self) -> Path:
        """The certificates, one a request, each with its page."""
        return self.folder / "certificates"

    @property
    def workspace(self) -> Path:
        """The workspace in which models are made and audited."""
        return self.folder / WORKSPACE

    @property
    def ledger_file(self) -> Path:
        """The ledger, where it is a file."""
        return self.folder / "ledger.db"

    @property
    def url(self) -> str:
        """Where the ledger is."""
        return f"sqlite:///{self.ledger_file}" if self.config.url == "sqlite" else self.config.url

    def certificate(self, request: int) -> Path:
        """Where the certificate of a request lies, or will lie."""
        return self.certificates / f"{request:06d}.json"

    def model_signature(self, model: str) -> Path:
        """Where the signature of a model's weights lies, or will lie, if the policy has them signed."""
        return self.certificates / f"{model}.sig"

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened when it is first needed."""
        from obliviate.ledger import Ledger

        return Ledger.open(self.url, clock=self.clock)

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """The key of the pseudonyms; raises ProjectError where it was destroyed."""
        return Pseudonyms.read(self.keys / "pseudonyms.key")

    # ------------------------------------------------------------------------------------------- requests

    def submit(
        self,
        what: str | Sequence[str],
        *,
        key: str | None = None,
        unknown: Unknown = "refuse",
        listed: Literal["ids", "owners"] = "ids",
    ) -> Submitted:
        """Ask for something to be forgotten: "id,id,…", "@FILE", "owner:NAME", "owner:@FILE", a rule, or a list.

        The names in a list are taken as they are; they are of what `listed` says.

        Who asks for the same again, or by a `key` that was given before, is given the first request. Names that the
        data do not have are refused, or skipped with `unknown="skip"`. Nothing that is written down names anybody.
        Raises DataError for names that are not there, and LedgerError for a key that another request has.
        """
        from obliviate.ledger import Submission

        check_unknown(unknown)
        if key is not None and not 0 < len(key) <= 1000:
            raise ProjectError(f"expected a key of 1 to 1,000 letters, got {len(key)}; choose another --key")
        if is_rule(what):
            digest = self.pseudonyms.of("key", key if key is not None else f"rule {what}")
            sealed = self._sealed_before(digest, what)
            submission = Submission("rule", digest, sealed=sealed or self.pseudonyms.seal(what))
            return Submitted(self.ledger.submit(submission, days=self.config.days), ())
        kind, names, matches = self._looked_up(what, unknown, listed)
        pairs = tuple((name, match.status) for name, match in zip(names, matches, strict=True))
        usable = [match for match in matches if match.status in {"found", "forgotten"}]
        samples = sorted({sample for match in usable for sample in match.samples})
        owners = sorted({match.pseudonym for match in usable}) if kind == "owners" else []
        content = self.pseudonyms.of_all("content", [f"sample {name}" for name in samples] + [f"o {o}" for o in owners])
        counts = {"asked": len(names), **counted(matches)}
        digest = self.pseudonyms.of("key", key) if key is not None else content
        submission = Submission(kind, digest, tuple(samples), tuple(owners), counts=counts)
        return Submitted(self.ledger.submit(submission, days=self.config.days), pairs)

    def plan(
        self,
        what: str | Sequence[str] | None = None,
        *,
        unknown: Unknown = "refuse",
        listed: Literal["ids", "owners"] = "ids",
    ) -> Costs:
        """Tell what a request would cost, and file nothing: retraining, each method of the policy, and in a batch.

        `what` and the other settings are those of `submit`; without it, only the requests that wait are looked at.
        Seconds are those of past runs of this project, and say what they were measured on (`costs.Cost`). Raises
        DataError for names that are not there.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     costs = Project.create(Path(folder), source="digits").plan()
        ...     [(cost.what, cost.seconds, cost.measured_on) for cost in costs.methods]
        [('amun', None, 'not measured yet'), ('retrain', None, 'not measured yet')]
        """
        from obliviate.project.costs import costs_of

        check_unknown(unknown)
        if what is None:
            return costs_of(self, None, {}, None)
        if is_rule(what):
            return costs_of(self, "rule", {}, None)
        kind, names, matches = self._looked_up(what, unknown, listed)
        left = sorted({sample for match in matches if match.status == "found" for sample in match.samples})
        return costs_of(self, kind, {"asked": len(names), **counted(matches)}, left)

    def _looked_up(
        self, what: str | Sequence[str], unknown: Unknown, listed: Literal["ids", "owners"]
    ) -> tuple[Literal["ids", "owners"], list[str], list[Match]]:
        """The names in a request, of what they are, and what became of each; raises DataError as `submit` does."""
        if not self.ledger.indexed:
            raise ProjectError(
                "expected the samples of the data to be known, got a ledger without; run `obliviate init` first"
            )
        kind, names, of_file = self._named(what) if isinstance(what, str) else (listed, [*map(str, what)], False)
        matches = self._matches(kind, names, listed=of_file)
        check_names(((name, match.status) for name, match in zip(names, matches, strict=True)), kind, unknown)
        return kind, names, matches

    def _sealed_before(self, digest: str, what: str) -> str | None:
        """The sealed text of the request with this key, if it is of the same rule: no text is sealed alike twice."""
        sealed = self.ledger.sealed_of(digest)
        return sealed if sealed is not None and self.pseudonyms.unseal(sealed) == what else None

    def _named(self, what: str) -> tuple[Literal["ids", "owners"], list[str], bool]:
        """The names in a request, of what they are, and whether they are the lines of a file."""
        kind: Literal["ids", "owners"] = "owners" if what.startswith("owner:") else "ids"
        text = what.removeprefix("owner:")
        if text.startswith("@"):
            names = read_names(text[1:], known=_Known(self, kind), headings=sorted(HEADINGS))
            return kind, names, True
        return kind, [text] if kind == "owners" and text in _Known(self, kind) else text.split(","), False

    def _matches(self, kind: Literal["ids", "owners"], names: Sequence[str], *, listed: bool = False) -> list[Match]:
        matches = self.ledger.look_up(kind, [self.name(kind, text) for text in names])
        if listed and matches and matches[0].status == "unknown" and spelling(names[0]).casefold() in HEADINGS:
            matches[0] = Match("heading")
        return matches

    def name(self, kind: Literal["ids", "owners"], text: str) -> Name:
        """A name by its pseudonyms."""
        word = "name" if kind == "ids" else "owner"
        return Name(self.pseudonyms.of(word, text), self.pseudonyms.of(f"{word} spelled", spelling(text)))

    # ------------------------------------------------------------------------------------------- how things stand

    def status(self, *, most: int = 20) -> dict[str, Any]:
        """Describe the project in JSON values, whatever the number of requests.

        "requests" are how many are in each state, "latest" the newest of them, "due" those not done by now and "soon"
        those in a quarter of the time that there is for one; "running" are batches and who works on them, "served" the
        model that serves, and "unserved" requests that are done and that it still knows.
        """
        ledger, now = self.ledger, self.clock()
        serving = ledger.serving
        soon = ledger.open_until(now + self.config.days * DAY / 4)
        return {
            "project": str(self.folder),
            "requests": ledger.totals,
            "latest": [self.described(request) for request in ledger.latest(most)],
            "due": [request.number for request in soon if request.due <= now],
            "soon": [request.number for request in soon if request.due > now],
            "running": [{"batch": batch, "worker": worker} for batch, worker in ledger.running()],
            "served": None if serving is None else asdict(serving),
            "unserved": ledger.done_after(serving.batch) if serving is not None else [],
            "events": ledger.head.events,
        }

    def due(self, days: float = 0.0) -> list[dict[str, Any]]:
        """Requests that are due within so many days and not done, the earliest first."""
        return [self.described(request) for request in self.ledger.open_until(self.clock() + days * DAY)]

    def described(self, request: Queued) -> dict[str, Any]:
        """A request in JSON values: number, state, kind, counts of names, times (ISO 8601, UTC), days left, batch."""
        return {
            "number": request.number,
            "state": request.state,
            "kind": request.kind,
            "counts": dict(request.counts),
            "submitted": moment(request.submitted),
            "due": moment(request.due),
            "days_left": round((request.due - self.clock()) / DAY, 2),
            "batch": request.batch,
        }

    # ------------------------------------------------------------------------------------------- what serves

    @property
    def served(self) -> Served | None:
        """The model that serves, as the pointer says, its file checked; None before the first.

        Raises LedgerError for a file of weights that is not the one that was promoted.
        """
        path = self.folder / "served.json"
        if not path.exists():
            return None
        values = read_sealed_json(path, SERVED, remedy="run `obliviate work` to have it written again")
        file = inside(self.folder, values["file"])
        check_sha256(
            file, values["file_sha256"], remedy="restore the weights, or serve others: `obliviate rollback`",
            error=LedgerError,
        )  # fmt: skip
        return Served(values["model"], file, values["weights_sha256"], values["batch"])

    def point(self) -> Served | None:
        """Have the pointer say what the ledger says: a kill may have come between the two."""
        serving = self.ledger.serving
        if serving is None:
            return None
        path, values = self.folder / "served.json", {"format": SERVED, **asdict(serving)}
        try:
            current = read_sealed_json(path, SERVED) if path.exists() else None
        except OSError:  # damaged: it is written again
            current = None
        if current != values:
            write_sealed_json(path, values)
        return self.served

    def promote(self, model: str) -> Served:
        """Serve a model of the workspace, by its id or a beginning of it that no other has.

        Raises ProjectError where there is no such model, or one that was made for a batch that is not done.
        """
        from obliviate.requests import Requests

        kept = [entry for entry in Requests(self.workspace).models() if entry.id.startswith(model) and model]
        kept = [entry for entry in kept if entry.id == model] or kept
        if len(kept) != 1:
            ids = ", ".join(entry.id for entry in kept) or "`obliviate status --out run` lists them"
            raise ProjectError(f"expected the id of a model, got {model!r:.80}, which {len(kept)} have; {ids}")
        (entry,) = kept
        batch = 0
        if entry.slot.request is not None:
            judged = [event for event in self.ledger.of_kind("judged") if event.facts["model"] == entry.id]
            if not judged:
                raise ProjectError(f"expected a model that was audited, got {entry.id}; run `obliviate work` first")
            batch = judged[-1].batch or 0
        promotion = self.promotion(entry.id, entry.slot.path, entry.manifest.weights_sha256, batch)
        self.ledger.promote(promotion)
        served = self.point()
        assert served is not None
        return served

    def promotion(self, model: str, file: Path, weights_sha256: str, batch: int) -> Promotion:
        """What the ledger says of a model that is to serve."""
        from obliviate.ledger import Promotion

        return Promotion(model, file.relative_to(self.folder).as_posix(), sha256_of(file), weights_sha256, batch)

    def rollback(self) -> tuple[Served, list[int]]:
        """Serve the model that served before the present one, if that is whole still; and tell what it still knows.

        Returns it, and the numbers of requests that are done and that it has not forgotten: these are due again
        (`status`). Raises ProjectError where none served before.
        """
        history = self.ledger.promotions()
        others = [promotion for promotion in history if promotion.model != history[0].model]
        if not others:
            raise ProjectError("expected a model that served before, got none; there is nothing to roll back to")
        before = others[0]
        check_sha256(
            inside(self.folder, before.file), before.file_sha256, remedy="restore it, or promote another",
            error=LedgerError,
        )  # fmt: skip
        self.ledger.promote(before, why="rolled back")
        served = self.point()
        assert served is not None
        return served, self.ledger.done_after(before.batch)

    # ------------------------------------------------------------------------------------------- checks

    def verify(self) -> dict[str, Any]:
        """Check the ledger, the model that serves and every certificate that the ledger tells of (`verification`).

        Returns how many events, requests and certificates there are, and the hash of the last event. Raises LedgerError
        or CertificateError for the first thing that is not as it was written.
        """
        from obliviate.project.verification import verify

        return verify(self)

    def rotate(self) -> str:
        """Sign with a new key from now on; returns its id. Certificates of before are checked by the retired one."""
        from obliviate.certificate.keys import SigningKey
        from obliviate.certificate.model_signature import ModelKey

        old = SigningKey.read(self.keys)
        new = old.rotated()
        if ModelKey(self.keys).private.exists():
            ModelKey(self.keys).rotated()
        self.ledger.record("key rotated", old=old.id, new=new.id)
        return new.id


@dataclass(frozen=True)
class _Known:
    """The names of the data, as far as one can ask whether a text is one of them."""

    project: Project
    kind: Literal["ids", "owners"]

    def __contains__(self, text: object) -> bool:
        return self.project._matches(self.kind, [str(text)])[0].status not in {"unknown", "ambiguous"}
