"""The small TOML file in which a user says what the columns of a table, or the parts of a text, are."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from obliviate.data.tables import MISSING, Unseen
from obliviate.errors import DataError

NAME: Final = "data.toml"
CHOICES: Final = {
    "kind": ("classification", "multi-label", "regression", "causal-lm"),
    "unseen_categories": ("refuse", "ignore"),
    "decimal": (".", ","),
}
REMOVED: Final = ("headers", "footers", "quotes")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What `data.toml` says; docs/data.md has an example of each kind.

    path, test         the files of training and test rows; without `test`, a share `test_share` of all is drawn
    target, kind       the column to predict (several for several labels or outputs), and what it is
    text               the column of texts; without it, all columns that have no other use are inputs
    id, owner          the columns that name a sample, and whom it is about; neither is an input
    metadata           further columns to keep beside the samples; they stay inputs
    drop               columns that are no inputs
    columns, delimiter names where the file has no line of them, and what separates cells
    categorical        columns that hold categories although these look like numbers
    missing            cells that say that a value is missing, in place of those that are usual
    decimal            what stands before the decimals of a number: "." or ","
    unseen_categories  "refuse" or "ignore" a category in the test rows that no training row has
    vocabulary_size    the number of words of a text's vocabulary
    length             the number of tokens of a text, or of a window of it
    remove             what to take out of newsgroup messages: headers, footers, quotes
    roles              whether a plain text consists of speeches, each after a line "ROLE:"; found out if not given
    """

    path: Path
    test: Path | None = None
    test_share: float = 0.2
    kind: Literal["classification", "multi-label", "regression", "causal-lm"] = "classification"
    target: tuple[str, ...] = ()
    text: str | None = None
    id: str | None = None
    owner: str | None = None
    metadata: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    categorical: tuple[str, ...] = ()
    missing: tuple[str, ...] = MISSING
    decimal: Literal[".", ","] = "."
    unseen_categories: Unseen = "refuse"
    vocabulary_size: int = 10_000
    length: int = 128
    remove: tuple[str, ...] = ("headers",)
    roles: bool | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise _unfit(name, f"one of {', '.join(choices)}", getattr(self, name))
        if not 0 < self.test_share < 1:
            raise _unfit("test_share", "a share of the rows in (0, 1)", self.test_share)
        if self.length < 1:
            raise _unfit("length", "a number of tokens above 0", self.length)
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise _unfit("delimiter", "one sign", self.delimiter)
        if other := [part for part in self.remove if part not in REMOVED]:
            raise _unfit("remove", f"some of {', '.join(REMOVED)}", other[0])


def read_description(path: Path) -> Description:
    """Read the file; paths in it are relative to its folder. Raises DataError for unknown or unfit settings."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"expected settings in TOML in {path}, got {error}; correct the file") from error
    fields = {field.name for field in dataclasses.fields(Description)}
    if unknown := sorted(set(values) - fields):
        raise DataError(
            f"expected settings of {', '.join(sorted(fields))} in {path}, got {', '.join(unknown)}; correct the names"
        )
    if "path" not in values:
        raise DataError(f'expected a path to the data in {path}, got none; add `path = "…"`')
    return Description(**{name: _value(name, value, path.parent) for name, value in values.items()})


TEXTS: Final = ("kind", "text", "id", "owner", "delimiter", "unseen_categories", "decimal")
NUMBERS: Final = {"test_share": (float, int), "vocabulary_size": (int,), "length": (int,)}


def _value(name: str, value: Any, folder: Path) -> Any:
    """One setting in its own type; raises DataError for another."""
    if name in {"path", "test"}:
        if not isinstance(value, str):
            raise _unfit(name, "a path", value)
        if "\0" in value:
            raise _unfit(name, "a path", value)
        return folder / value
    if name in TEXTS and not isinstance(value, str):
        raise _unfit(name, "a text", value)
    if name in NUMBERS and (not isinstance(value, NUMBERS[name]) or isinstance(value, bool)):
        raise _unfit(name, "a number", value)
    if name == "roles" and not isinstance(value, bool):
        raise _unfit(name, "true or false", value)
    if name in TEXTS or name in NUMBERS or name == "roles":
        return value
    if name == "target" and isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _unfit(name, "a list of texts", value)
    return tuple(value)


def _unfit(name: str, wanted: str, got: object) -> DataError:
    return DataError(f"expected {wanted} for {name}, got {got!r}; correct {NAME}, see docs/data.md")
