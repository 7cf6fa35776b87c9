"""The requests of a folder, in order: `forget.json` is the first, `requests/0002.json` and so on are those after it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from obliviate.data.history import History
from obliviate.data.ids import as_ids, ids_sha256
from obliviate.data.sources import Data
from obliviate.errors import WorkspaceError
from obliviate.files import read_sealed_json, write_sealed_json
from obliviate.training.checkpoint import Manifest
from obliviate.types import SampleId
from obliviate.workflow import Trained
from obliviate.workspace.models import ModelFolder, request_of

FORMAT: Final = "obliviate.request/1"


@dataclass(frozen=True)
class Parent:
    """The model that a later request begins from: its label then, and what tells it from all others."""

    label: str
    weights_sha256: str


@dataclass(frozen=True)
class Request:
    """The ids to forget, how they were chosen in a few words, and what model served then (None is the original).

    `references` is how many references were asked which ids to take, `grouped` whether these have something in common
    (`data.rules.Chosen`).
    """

    number: int
    rule: str
    ids: Sequence[SampleId]
    after: Parent | None = None
    references: int = 0
    grouped: bool = False

    @property
    def full_rule(self) -> str:
        """How the ids were chosen, with what went before."""
        return self.rule if self.after is None else f"{self.rule}; request {self.number}, after {self.after.label}"


@dataclass(frozen=True, eq=False)
class Requests:
    """The requests of a folder, over what was trained on, and the models that they begin from."""

    folder: Path
    data: Data
    kept: ModelFolder

    @property
    def all(self) -> list[Request]:
        """Every request, in order."""
        return read(self.folder)

    def numbered(self, number: int | None = None) -> Request:
        """The request of a number, None the last; raises WorkspaceError where there is none."""
        requests = self.all
        if not requests:
            raise WorkspaceError(f"expected a forget set in {self.folder}, got none; choose one with --forget")
        number = len(requests) if number is None else number
        if not 1 <= number <= len(requests):
            raise WorkspaceError(
                f"expected a request of {self.folder}, from 1 to {len(requests)}, got {number}; name one of them, or "
                "make the next one with --forget and --after"
            )
        return requests[number - 1]

    def before(self, number: int) -> History:
        """What was trained on, and what was forgotten before the request of this number."""
        earlier = tuple(as_ids(request.ids, what="ids of a request") for request in self.all[: number - 1])
        return History(self.data.train, self.data.reference, earlier)

    def begins(self, after: str | None) -> tuple[int, Parent | None]:
        """The number of the request that begins from the model with this label, and the model.

        Raises WorkspaceError where there is no such model, or where that request began from another.
        """
        if after is None:
            return 1, None
        manifests = {model.label: manifest for model, manifest in self.kept.entries() if model.role != "original"}
        if after not in manifests:
            raise WorkspaceError(
                f"expected an unlearned model of {self.folder} to go on from "
                f"({', '.join(manifests) or 'there is none'}), got {after!r}; name one of them with --after"
            )
        number, parent = request_of(manifests[after]) + 1, Parent(after, manifests[after].weights_sha256)
        if number <= len(self.all):
            known = self.numbered(number).after
            assert known is not None
            if known.weights_sha256 != parent.weights_sha256:
                raise WorkspaceError(
                    f"expected request {number} of {self.folder} to go on from {known.label}, as it has from the "
                    f"start, got {after}; a folder has one model that serves: begin in a new folder to try another"
                )
        return number, parent

    def served(self, number: int) -> tuple[Trained, Manifest]:
        """The unlearned model that a later request begins from; raises WorkspaceError where it is not there."""
        parent = self.numbered(number).after
        assert parent is not None
        for model, manifest in self.kept.entries():
            if manifest.weights_sha256 == parent.weights_sha256 and request_of(manifest) == number - 1:
                self.refuse_contradiction(model, manifest)
                return model, manifest
        raise WorkspaceError(
            f"expected the model {parent.label} that request {number} began from, got none with its weights in "
            f"{self.folder / 'models'}; put it back there"
        )

    def refuse_contradiction(self, model: Trained, manifest: Manifest) -> None:
        """Refuse a model that by its manifest is not of its request; raises WorkspaceError, which names the model.

        The original has seen every sample of the request; all others were made for just its samples, and have seen none
        of them, nor of those of the requests before.
        """
        number = request_of(manifest)
        asked = self.numbered(number)
        forgotten, seen = set(asked.ids).union(*(request.ids for request in self.all[:number])), set(manifest.ids)
        if manifest.role == "original":
            contradiction = f"it was not trained on {len(missing)} of them" if (missing := forgotten - seen) else ""
        elif manifest.settings.get("forget_sha256") != ids_sha256(asked.ids):
            contradiction = "it was made for others"
        else:
            contradiction = f"it was trained on {len(again)} of them" if (again := forgotten & seen) else ""
        if contradiction:
            raise WorkspaceError(
                f"expected the model {model.label} to be one for the samples of request {number} of {self.folder}, got "
                f"a manifest that says that {contradiction}; restore the request, or remove the model from "
                f"{self.kept.folder / 'models'} and make it again"
            )

    def refuse_other(self, number: int, ids: Sequence[SampleId]) -> None:
        """Refuse other ids than those of a request that is there; raises WorkspaceError."""
        if sorted(self.numbered(number).ids) != sorted(ids):
            raise WorkspaceError(
                f"expected the forget set that {self.folder} has had from the start, got another; begin in a new "
                "folder, leave out --forget, or go on from an unlearned model with --after"
                if number == 1
                else f"expected the forget set that request {number} of {self.folder} has had from the start, got "
                "another; leave out --forget, or go on from a model of that request with --after"
            )


def read(folder: Path) -> list[Request]:
    """Every request; raises WorkspaceError for a damaged or foreign file."""
    requests: list[Request] = []
    while (path := _path(folder, len(requests) + 1)).exists():
        values = read_sealed_json(path, FORMAT, remedy="restore it, or begin in a new folder")
        try:
            if values["before_sha256"] != _before(requests):
                raise WorkspaceError(
                    f"expected a request that follows those before it in {folder}, got one after others in {path}; "
                    "restore the requests as they were"
                )
            parent = Parent(**values["after"]) if requests else None
            facts = {name: values[name] for name in ("references", "grouped") if name in values}
            requests.append(Request(len(requests) + 1, values["rule"], values["ids"], parent, **facts))
        except (KeyError, TypeError) as error:
            raise WorkspaceError(
                f"expected a request with its rule, its ids and what it comes after, got {path} without ({error}); "
                "the file is foreign"
            ) from error
    later = [path for path in sorted((folder / "requests").glob("*.json")) if path.stem > f"{len(requests):04d}"]
    if later:
        raise WorkspaceError(
            f"expected {_path(folder, len(requests) + 1)} before {later[0].name}, got none; "
            "restore the requests as they were"
        )
    return requests


def _before(earlier: Sequence[Request]) -> str:
    return ids_sha256([ids_sha256(request.ids) for request in earlier])


def write(folder: Path, request: Request) -> None:
    """Keep a request."""
    path = _path(folder, request.number)
    path.parent.mkdir(exist_ok=True)
    after = {} if request.after is None else {"after": asdict(request.after)}
    facts = {name: value for name in ("references", "grouped") if (value := getattr(request, name))}
    values = {"format": FORMAT, "rule": request.rule, "ids": list(request.ids), **facts, **after}
    write_sealed_json(path, values | {"before_sha256": _before(read(folder)[: request.number - 1])})


def remove(folder: Path, number: int) -> None:
    """Take a request back."""
    path = _path(folder, number)
    path.unlink(missing_ok=True)
    if number > 1:
        with suppress(OSError):  # others are in the folder
            path.parent.rmdir()


def _path(folder: Path, number: int) -> Path:
    return folder / "forget.json" if number == 1 else folder / "requests" / f"{number:04d}.json"
