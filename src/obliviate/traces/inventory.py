"""Every file of a folder, and whether it holds, knows or names samples that were forgotten; read without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from obliviate._util.files import TEMPORARY, WORK, read_json
from obliviate._util.locks import LOCK
from obliviate.errors import ObliviateError, WorkspaceError
from obliviate.requests import Manifest, Request, Requests
from obliviate.requests.manifest import read_manifest

ORIGIN: Final = "workspace.json"
SLICES: Final = "slices.json"

Kind = Literal[
    "original", "models", "checkpoints", "references", "teachers", "work", "pictures", "results", "record", "other"
]
Carries = Literal["holds", "knows", "names", "nothing"]
"""What a file has of forgotten samples: copies or outputs, weights that were trained on them, their ids, or nothing."""
What: TypeAlias = tuple[Kind, Carries, int | None, str]
"""Kind, what it carries, of how many samples, and a few words."""
NAMED: Final[Mapping[str, What]] = {
    "scores.npz": ("results", "names", None, "scores of each sample in the last audit"),
    "events.jsonl": ("record", "names", None, "what happened, refusals with their words among it"),
    "coins.json": ("record", "names", None, "what was planned before training"),
    "noise.json": ("record", "names", None, "what was planned before training"),
    "rows.json": ("record", "names", None, "hashes of every row, by which erased ones are told"),
    ORIGIN: ("record", "nothing", 0, "what the folder was made from"),
    LOCK: ("record", "nothing", 0, "who works here"),
    "record.json": ("results", "names", 1, "ranks of one record in the last audit"),
    "inspection.json": ("results", "nothing", 0, "figures of the last inspection"),
    "purged.json": ("record", "nothing", 0, "which files were purged"),
}
"""What files are that are the same whatever was forgotten, by their names."""
WORDS: Final[Mapping[Carries, str]] = {
    "holds": "holds them, or outputs for them",
    "knows": "has learned from them",
    "names": "names them",
    "nothing": "nothing of them",
}


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One file: its place in the folder, its size, of what kind it is, and what it has of forgotten samples.

    `samples` is of how many of them, None where it cannot be told; `about` says it in a few words.
    """

    path: str
    bytes: int
    kind: Kind
    carries: Carries
    samples: int | None
    about: str

    def to_dict(self) -> dict[str, Any]:
        """In JSON values."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Traces:
    """A folder with its requests, of which those up to a number are looked at."""

    folder: Path
    requests: Requests
    asked: tuple[Request, ...]

    @classmethod
    def of(cls, folder: Path, request: int | None = None) -> Traces:
        """Read what was asked; raises WorkspaceError for a folder that is none of ours, or a request it has not had."""
        if not (folder / ORIGIN).exists():
            raise WorkspaceError(
                f"expected a folder made by `obliviate train` or `obliviate demo`, got {folder} without {ORIGIN}; name "
                "such a folder"
            )
        requests = Requests(folder)
        everything = requests.all
        if request is not None or everything:
            everything = everything[: requests.numbered(request).number]
        return cls(folder, requests, tuple(everything))

    @cached_property
    def forgotten(self) -> frozenset[str]:
        """The ids that were asked to be forgotten."""
        return frozenset(name for request in self.asked for name in request.ids)

    def known_to(self, manifest: Manifest) -> int:
        """How many of the forgotten samples a model was trained on."""
        return len(self.forgotten.intersection(manifest.ids))

    def of_folder(self) -> Iterator[Trace]:
        """Every file, in the order of their places."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield self._trace(path)

    def _trace(self, path: Path) -> Trace:
        place = path.relative_to(self.folder)
        kind, carries, samples, about = self._what(path, place)
        if not self.forgotten:
            carries, samples = "nothing", 0
        return Trace(
            path=place.as_posix(), bytes=path.stat().st_size, kind=kind, carries=carries, samples=samples, about=about
        )

    def _what(self, path: Path, place: Path) -> What:
        first = place.parts[0]
        if WORK in place.parts or TEMPORARY.fullmatch(path.name):
            return "work", "holds", None, "state of unfinished work: copies of samples, adversarial examples"
        if first in {"references", "teachers"}:
            return self._of_pool("references" if first == "references" else "teachers", path.name)
        if first == "checkpoints":
            return self._of_slices(path)
        if path.suffix == ".safetensors":
            return self._of_model(path)
        if path.suffix == ".json" and path.parent.name == "models":
            return self._of_manifest(path)
        return self._of_file(path)

    def _of_file(self, path: Path) -> What:
        """What a file is by its name."""
        readers: dict[str, Callable[[Path], What]] = {
            "request.json": self._of_request,
            "results.json": self._of_results,
            "report.html": self._of_report,
        }
        if path.name in readers:
            return readers[path.name](path)
        return NAMED.get(path.name, ("other", "nothing", None, "not of this package: look yourself"))

    def _of_pool(self, kind: Literal["references", "teachers"], name: str) -> What:
        count = len(self.forgotten)
        if name.endswith(".logits.safetensors"):
            return kind, "holds", count, "outputs for every sample"
        if name.endswith(".safetensors"):
            return kind, "knows", None, "weights that half of the samples were trained into"
        return kind, "nothing", 0, "facts and hashes"

    def _of_slices(self, path: Path) -> What:
        try:
            count = len(self.forgotten.intersection(read_json(path.with_name(SLICES))["ids"]))
        except (ObliviateError, KeyError, TypeError):  # unfinished, or damaged: nobody can tell
            count = None
        if path.name == SLICES:
            return "checkpoints", "nothing" if count == 0 else "names", count, "what slices were trained on"
        return "checkpoints", "nothing" if count == 0 else "knows", count, "weights after a slice (sisa)"

    def _of_model(self, path: Path) -> What:
        kind: Kind = "original" if path.stem == "original" else "models"
        manifest = _manifest(path)
        if manifest is None:
            return kind, "knows", None, "weights without a manifest"
        count = self.known_to(manifest)
        about = "weights" if count else "weights, made without them or to forget them"
        return kind, "knows" if count else "nothing", count, f"{about}: {manifest.label}"

    def _of_manifest(self, path: Path) -> What:
        manifest = _manifest(path)
        named = None if manifest is None else self.known_to(manifest)
        return "record", "nothing" if named == 0 else "names", named, "what a model was trained on"

    def _of_request(self, path: Path) -> What:
        """Of requests after those that are looked at nothing is told."""
        number = path.parent.name
        named = next((len(request.ids) for request in self.asked if f"{request.number:04d}" == number), 0)
        return "record", "names" if named else "nothing", named, "what was asked for"

    def _of_results(self, path: Path) -> What:
        if pictures := self._pictures(path):
            return "pictures", "holds", pictures, "figures of the last audit, with pictures of some of them"
        return "results", "names", None, "figures of the last audit, which name the most exposed"

    def _of_report(self, path: Path) -> What:
        if pictures := self._pictures(path.with_name("results.json")):
            return "pictures", "holds", pictures, "the report, which shows some of them"
        return "results", "names", None, "the report, which names the most exposed"

    def _pictures(self, path: Path) -> int:
        try:
            return len(read_json(path).get("pictures") or {})
        except ObliviateError:  # missing or damaged, as its readers will say
            return 0


def _manifest(path: Path) -> Manifest | None:
    try:
        return read_manifest(path.with_suffix(".safetensors"))
    except ObliviateError:  # missing or damaged, as its readers will say
        return None


def inventory(folder: Path | str, *, request: int | None = None) -> list[Trace]:
    """List every file of a folder, and what it has of the samples that were to be forgotten up to a request.

    `request` is its number, the last if left out. Raises WorkspaceError for a folder that is none of ours.

    >>> inventory("nowhere")
    Traceback (most recent call last):
    obliviate.errors.WorkspaceError: expected a folder made by `obliviate train` or `obliviate demo`, got nowhere ...
    """
    return list(Traces.of(Path(folder), request).of_folder())
