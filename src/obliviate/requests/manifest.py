"""What a model says of itself, in the file beside its weights; read without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from obliviate._util.files import read_sealed_json
from obliviate.errors import CheckpointError

FORMAT: Final = "obliviate.checkpoint/2"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint says of itself.

    `ids` are the samples that its training has seen; `number` counts the models of a folder as they are made.
    """

    role: str
    method: str
    seed: int
    recipe: dict[str, Any]
    data_sha256: str
    ids: list[str]
    settings: dict[str, Any]
    seconds: float
    weights_sha256: str
    file_sha256: str
    number: int = 1
    format: str = FORMAT

    @property
    def label(self) -> str:
        """The name in tables, for people."""
        name = self.settings.get("name") or self.method.partition("(")[0]
        return f"{name} (seed {self.seed})" if self.role == "retrained" and not self.settings.get("name") else name


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the checkpoint at `path` (.safetensors); raises CheckpointError for a foreign one."""
    beside = path.with_suffix(".json")
    if not beside.exists():
        raise CheckpointError(
            f"expected a checkpoint with its manifest {beside.name}, got none in {beside.parent}; "
            "make one with `obliviate train`"
        )
    remedy = "restore it, or delete it to make the model again"
    values = read_sealed_json(beside, FORMAT, remedy=remedy, error=CheckpointError)
    declared = {field.name: field.type for field in fields(Manifest)}
    if odd := sorted(set(declared) ^ set(values)):
        raise CheckpointError(f"expected the fields of {FORMAT}, got others in {beside} ({odd[0]}); it is foreign")
    for name, value in values.items():
        if not _TYPES.get(name, _text)(value):
            raise CheckpointError(
                f"expected {name} to be {declared[name]}, got {value!r:.60} in {beside}; the file is foreign: {remedy}"
            )
    return Manifest(**values)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "role": lambda value: value in ("original", "retrained", "unlearned"),
    "seed": _integer,
    "number": _integer,
    "recipe": _mapping,
    "settings": _mapping,
    "ids": lambda value: isinstance(value, list) and all(map(_text, value)),
    "seconds": lambda value: (_integer(value) or isinstance(value, float)) and value >= 0,
}
"""What a field of a manifest must be, where it is not a text."""
