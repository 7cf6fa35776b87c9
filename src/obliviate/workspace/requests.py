"""The requests of a folder, in order: `forget.json` is the first, `requests/0002.json` and so on are those after it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from obliviate.errors import WorkspaceError
from obliviate.files import read_json, write_json
from obliviate.types import SampleId


@dataclass(frozen=True)
class Parent:
    """The model that a later request begins from: its label then, and what tells it from all others."""

    label: str
    weights_sha256: str


@dataclass(frozen=True)
class Request:
    """The ids to forget, how they were chosen in a few words, and what model served then (None is the original)."""

    number: int
    rule: str
    ids: Sequence[SampleId]
    after: Parent | None = None

    @property
    def told(self) -> str:
        """How the ids were chosen, with what went before."""
        return self.rule if self.after is None else f"{self.rule}; request {self.number}, after {self.after.label}"


def read(folder: Path) -> list[Request]:
    """Every request; raises WorkspaceError for a damaged or foreign file."""
    found: list[Request] = []
    while (path := _path(folder, len(found) + 1)).exists():
        values = read_json(path)
        try:
            parent = Parent(**values["after"]) if found else None
            found.append(Request(len(found) + 1, values["rule"], values["ids"], parent))
        except (KeyError, TypeError) as error:
            raise WorkspaceError(
                f"expected a request with its rule, its ids and what it comes after, got {path} without ({error}); "
                "the file is foreign"
            ) from error
    return found


def write(folder: Path, request: Request) -> None:
    """Keep a request."""
    path = _path(folder, request.number)
    path.parent.mkdir(exist_ok=True)
    after = {} if request.after is None else {"after": asdict(request.after)}
    write_json(path, {"rule": request.rule, "ids": list(request.ids), **after})


def remove(folder: Path, number: int) -> None:
    """Take a request back."""
    path = _path(folder, number)
    path.unlink(missing_ok=True)
    if number > 1:
        with suppress(OSError):  # others are in the folder
            path.parent.rmdir()


def _path(folder: Path, number: int) -> Path:
    return folder / "forget.json" if number == 1 else folder / "requests" / f"{number:04d}.json"
