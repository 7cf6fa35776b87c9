"""Data of which rows were erased since a model was trained: recognised row by row, and loaded as what is left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from obliviate.data.content import content_ids
from obliviate.data.erased import Erased
from obliviate.data.features import Limits, Targets
from obliviate.data.formats.base import Contents
from obliviate.data.owners import NOBODY
from obliviate.data.samples import Samples
from obliviate.data.selection import PARTS
from obliviate.data.sources import Data, read_source, samples_of
from obliviate.data.tables import Fitting
from obliviate.errors import DataError
from obliviate.types import Ids

FORMAT: Final = "obliviate.rows/1"

Hide = Callable[[str, str], str]
"""What a name or a hash is written as, by what it is: "id", "content" or "input"."""


def plainly(_: str, name: str) -> str:
    """Write names and hashes as they are."""
    return name


@dataclass(frozen=True)
class Row:
    """One sample by name: the hash of its input and target, and that of its input alone."""

    id: str
    content: str
    input: str


@dataclass(frozen=True, eq=False)
class RowIndex:
    """Every sample that a folder uses, by part and in order, and what the rest of the data was understood to be.

    `left_out` is how many samples of the source are not used. A table has its `fitting`, by which rows that are left
    become the same numbers as before. With pseudonyms, ids and hashes are keyed (`Hide`): none can be guessed.
    """

    parts: Mapping[str, tuple[Row, ...]]
    left_out: int
    classes: int
    input_range: Limits | None
    targets: Targets | None
    fitting: Fitting | None

    @classmethod
    def of(cls, data: Data, hide: Hide = plainly) -> RowIndex:
        """Index data under their own names, with names and hashes written by `hide`."""
        parts = {
            part: tuple(
                Row(hide("id", str(name)), hide("content", content), hide("input", _text(key)))
                for name, content, key in zip(samples.ids, content_ids(samples.contents), samples.inputs, strict=True)
            )
            for part in PARTS
            if (samples := getattr(data, part)) is not None
        }
        left_out = data.source_rows - sum(map(len, parts.values()))
        return cls(parts, left_out, data.classes, data.input_range, data.targets, data.fitting)

    def to_dict(self) -> dict[str, Any]:
        """The index in JSON values, a list of each field a part."""
        return {
            "format": FORMAT,
            "parts": {
                part: {name: [getattr(row, name) for row in rows] for name in ("id", "content", "input")}
                for part, rows in self.parts.items()
            },
            "left_out": self.left_out,
            "classes": self.classes,
            "input_range": self.input_range,
            "targets": None if self.targets is None else self.targets.to_dict(),
            "fitting": None if self.fitting is None else self.fitting.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RowIndex:
        """Read what `to_dict` returned."""
        limits = values["input_range"]
        return cls(
            {
                part: tuple(map(Row, *(columns[name] for name in ("id", "content", "input"))))
                for part, columns in values["parts"].items()
            },
            values["left_out"],
            values["classes"],
            None if limits is None else _limits(*limits),
            None if values["targets"] is None else Targets.from_dict(values["targets"]),
            None if values["fitting"] is None else Fitting.from_dict(values["fitting"]),
        )


def load_remaining(source: str | Path, index: RowIndex, *, seed: int, sha256: str, hide: Hide = plainly) -> Data:
    """Load what is left in a source of the data that were indexed, whose hash was `sha256`.

    Every sample is looked up by its name and its content, in whatever part a new draw would place it, and stands in its
    old part and order. `Data.erased` are the training samples that are gone; of unseen ones a note tells.

    Raises DataError where anything else has changed: for a sample with another content, one that was not there, columns
    that are no longer of the training samples, or a part of which nothing is left.
    """
    name, contents = read_source(source, seed, index.fitting)
    parts = {part: samples_of(contents, contents.arrays, part) for part in PARTS if f"{part}_x" in contents.arrays}
    whole_x = torch.cat([samples.store.take(samples.rows)[0] for samples in parts.values()])
    whole_y = torch.cat([samples.targets for samples in parts.values()])
    names = [str(name) for samples in parts.values() for name in samples.ids]
    hashes = [content for samples in parts.values() for content in content_ids(samples.contents)]
    inputs = np.concatenate([samples.inputs for samples in parts.values()])
    places = _placed(
        index, [(hide("id", name), hide("content", content)) for name, content in zip(names, hashes, strict=True)]
    )
    kept = {part: np.array([place for place in where if place is not None]) for part, where in places.items()}
    for part, left in kept.items():
        if not len(left):
            raise DataError(f"expected some {part} samples in {source}, got none of those before; restore them")
    known = {hide("input", _text(key)): key for key in inputs}
    gone = [row for row, place in zip(index.parts["train"], places["train"], strict=True) if place is None]
    samples = {
        part: Samples.from_tensors(whole_x[left], whole_y[left], ids=[names[place] for place in left])
        for part, left in kept.items()
    }
    metadata, cells = (
        {name: column[kept["train"]] for name, column in _of_training(columns, kept["train"], source).items()}
        for columns in (contents.metadata, contents.cells)
    )
    missing = {part: len(places[part]) - len(kept[part]) for part in kept}
    losses = ", ".join(f"{count:,} {part} samples" for part, count in missing.items() if count)
    return Data(
        name,
        index.classes,
        samples["train"],
        samples["test"],
        samples.get("holdout"),
        sha256,
        (f"no longer in the source: {losses}",),
        contents.kind,
        metadata,
        contents.owner,
        contents.features,
        contents.vocabulary,
        index.targets,
        _owners(contents, parts, kept),
        cells,
        index.input_range,
        len(names),
        index.fitting,
        Erased(
            np.array([row.id for row in gone], dtype=np.str_),
            np.array([known.get(row.input, _made_up(row.input)) for row in gone], dtype=np.uint64),
            np.array([row.id for row in index.parts["train"]], dtype=np.str_),
        ),
    )


def _limits(low: Any, high: Any) -> Limits:
    """Limits as they were before JSON made lists of tuples."""
    return (tuple(low), tuple(high)) if isinstance(low, list) else (low, high)


def _placed(index: RowIndex, present: list[tuple[str, str]]) -> dict[str, list[int | None]]:
    """Where the samples of each part stand among those that are there, None for each that is not."""
    free: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, key in enumerate(present):
        free[key].append(place)
    places: dict[str, list[int | None]] = {
        part: [free[key].pop(0) if free.get(key := (row.id, row.content)) else None for row in rows]
        for part, rows in index.parts.items()
    }
    placed = sum(place is not None for part in places.values() for place in part)
    if changed := Counter(name for (name, _), left in free.items() if left).keys() & {
        row.id
        for part, rows in index.parts.items()
        for row, place in zip(rows, places[part], strict=True)
        if place is None
    }:
        raise DataError(f"expected samples as they were or none, got {len(changed):,} with another content")
    if (strange := len(present) - placed) > index.left_out:
        raise DataError(f"expected no samples but those of before, got {strange - index.left_out:,} more")
    if placed == sum(map(len, places.values())):
        raise DataError("expected the same samples in the same order, got all of them otherwise arranged")
    return places


def _of_training(columns: Mapping[str, np.ndarray], places: np.ndarray, source: str | Path) -> Mapping[str, np.ndarray]:
    """The columns, if all of these samples have an entry in each."""
    for name, column in columns.items():
        if len(places) and int(places.max()) >= len(column):
            raise DataError(f"expected column {name!r} of all training samples in {source}, got it of fewer")
    return columns


def _owners(contents: Contents, parts: Mapping[str, Samples], kept: Mapping[str, np.ndarray]) -> dict[str, Ids]:
    """Whom unseen samples are about, by part, wherever they stand in the source now."""
    if contents.owner is None:
        return {}
    columns = {"train": contents.metadata[contents.owner]}
    columns |= {part: contents.arrays[f"{part}_owner"] for part in parts if f"{part}_owner" in contents.arrays}
    nobody = {part: np.full(len(samples), NOBODY) for part, samples in parts.items()}
    whole = np.concatenate([np.asarray(columns.get(part, nobody[part])).astype(np.str_) for part in parts])
    return {part: whole[places] for part, places in kept.items() if part != "train"}


def _text(key: np.uint64) -> str:
    return f"{int(key):016x}"


def _made_up(text: str) -> np.uint64:
    """A hash of an input that is there no more: its own, or one that stands for it where hashes are keyed."""
    return np.uint64(int(text[-16:], 16))
