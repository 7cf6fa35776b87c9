"""One request to forget: what was asked, and the folder in which all that came of it lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from obliviate._util.files import WORK, read_sealed_json, write_sealed_json
from obliviate.data.ids import ids_sha256
from obliviate.errors import WorkspaceError

FORMAT: Final = "obliviate.request/2"


@dataclass(frozen=True)
class Parent:
    """The model that a later request begins from: its id, its label for people, and the hash of its weights."""

    id: str
    label: str
    weights_sha256: str


@dataclass(frozen=True)
class Request:
    """The ids to forget, how they were chosen in a few words, and what model served then (None is the original).

    `references` is how many references were asked which ids to take, `grouped` whether these have something in common
    (`data.rules.Chosen`). `asked` has what became of every name of a list that was asked for: as it was
    written, as it was found ("" if it was not), and its status (`data.lookup.Entry`).

    >>> Request(2, "class 3", ["a", "b"], Parent("1-amun-5f3c", "amun", "5f3c…")).full_rule
    'class 3; request 2, after amun'
    """

    number: int
    rule: str
    ids: Sequence[str]
    after: Parent | None = None
    references: int = 0
    grouped: bool = False
    asked: Sequence[Mapping[str, str]] = ()

    @property
    def outcomes(self) -> dict[str, int]:
        """How many names that were asked for came to what; none where ids were chosen by a rule."""
        return dict(Counter(entry["status"] for entry in self.asked))

    @property
    def full_rule(self) -> str:
        """How the ids were chosen, with what went before."""
        return self.rule if self.after is None else f"{self.rule}; request {self.number}, after {self.after.label}"

    def to_dict(self, before: Sequence[Request]) -> dict[str, Any]:
        """What its file holds; the hash of the requests `before` it is in there, so that none of them can change."""
        after = {} if self.after is None else {"after": asdict(self.after)}
        facts = {name: value for name in ("references", "grouped") if (value := getattr(self, name))}
        if self.asked:
            facts["asked"] = [dict(entry) for entry in self.asked]
        values = {"format": FORMAT, "rule": self.rule, "ids": list(self.ids), **facts, **after}
        return values | {"before_sha256": _sha256_of(before)}

    @classmethod
    def read(cls, path: Path, before: Sequence[Request]) -> Request:
        """Read what `write` wrote; raises WorkspaceError for a damaged or foreign file, or one that follows others."""
        values = read_sealed_json(path, FORMAT, remedy="restore it, or begin in a new folder")
        try:
            if values["before_sha256"] != _sha256_of(before):
                raise WorkspaceError(
                    f"expected a request that follows those before it, got one after others in {path}; "
                    "restore the requests as they were"
                )
            parent = Parent(**values["after"]) if before else None
            facts = {name: values[name] for name in ("references", "grouped", "asked") if name in values}
            return cls(len(before) + 1, values["rule"], values["ids"], parent, **facts)
        except (KeyError, TypeError) as error:
            raise WorkspaceError(
                f"expected a request with its rule, its ids and what it comes after, got {path} without ({error}); "
                "the file is foreign"
            ) from error

    def write(self, path: Path, before: Sequence[Request]) -> None:
        """Write it to a file, which is there as a whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed_json(path, self.to_dict(before))


def _sha256_of(requests: Sequence[Request]) -> str:
    return ids_sha256([ids_sha256(request.ids) for request in requests])


@dataclass(frozen=True)
class RequestFolder:
    """Where everything of one request lies.

    >>> RequestFolder(Path("run/requests/0002")).results.as_posix()
    'run/requests/0002/results.json'
    """

    path: Path

    @property
    def request(self) -> Path:
        """What was asked; the request is there from when this file is there."""
        return self.path / "request.json"

    @property
    def models(self) -> Path:
        """The models that were made for it, each with its manifest, and named by its id."""
        return self.path / "models"

    @property
    def work(self) -> Path:
        """What interrupted making of models needs to go on, in a folder a model."""
        return self.path / WORK

    @property
    def results(self) -> Path:
        """The figures of its last audit."""
        return self.path / "results.json"

    @property
    def record(self) -> Path:
        """The figures of its last audit, where it is for one record."""
        return self.path / "record.json"

    @property
    def report(self) -> Path:
        """The page of its last audit."""
        return self.path / "report.html"

    @property
    def scores(self) -> Path:
        """The scores of its last audit, sample by sample."""
        return self.path / "scores.npz"

    @property
    def inspection(self) -> Path:
        """The last look inside its models."""
        return self.path / "inspection.json"
