"""What a format is: how it is recognised, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from obliviate.data.features import Features, Limits, Targets
from obliviate.data.tables import Fitting
from obliviate.data.vocabulary import Vocabulary
from obliviate.errors import DataError

Arrays: TypeAlias = dict[str, np.ndarray]
"""`train_x`, `train_y`, `test_x`, `test_y`, and perhaps `holdout_x`, `holdout_y` and `train_ids` and the like.

Images are bytes of shape "n height width" or "n channels height width", tokens int64 of shape "n length".
"""

NO_TARGET: Final = -100  # stands where a position has no target; torch's cross-entropy leaves it out


@dataclass(frozen=True, eq=False)
class Contents:
    """A source that has been read.

    `classes` is the number of classes, labels, outputs or tokens; None: as many classes as the highest label says.
    `metadata` has one entry a training sample under each name; `owner` is the name under which the persons are whom the
    samples are about. With a `vocabulary`, inputs are tokens. `cells` are all columns of the training rows of a
    table, as they were written. With `sequences`, inputs of shape "n channels length" are no grey images.
    `input_range` is the range of inputs that the source says, None where it says none. `fitting` is how cells of a
    table became numbers.
    """

    arrays: Arrays
    kind: str = "classification"
    classes: int | None = None
    metadata: Mapping[str, np.ndarray] = field(default_factory=dict)
    owner: str | None = None
    features: Features | None = None
    vocabulary: Vocabulary | None = None
    targets: Targets | None = None
    notes: tuple[str, ...] = ()
    cells: Mapping[str, np.ndarray] = field(default_factory=dict)
    sequences: bool = False
    input_range: Limits | None = None
    fitting: Fitting | None = None


@dataclass(frozen=True)
class Format:
    """A way in which data are stored.

    `looks_for` says in words what `recognises` looks for; `read` takes the path and a seed, by which it draws a test
    part where the source has none, and raises DataError where files are missing, damaged or foreign. `read_by` reads a
    table by a fitting of before, all rows in one part where the source has one; None for what is not fitted.
    """

    name: str
    looks_for: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, int], Contents]
    read_by: Callable[[Path, Fitting], Contents] | None = None


def whole(read: Callable[[Path], Arrays]) -> Callable[[Path, int], Contents]:
    """Read classes of images, whose parts the source itself tells apart."""
    return lambda path, _: Contents(read(path))


def need(folder: Path, names: Sequence[str], *, what: str) -> None:
    """Refuse a folder in which one of these files is missing."""
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DataError(
            f"expected {what} ({', '.join(names)}) in {folder}, got none named {', '.join(missing)}; add them"
        )


def damaged(path: Path, *, wanted: str, got: object) -> DataError:
    """The error of a file whose content is not what its name says."""
    return DataError(f"expected {wanted} in {path}, got {got}; the file is damaged or foreign: fetch it again")


ENDINGS: Final = ("", ".gz", ".xz")


def existing_file(folder: Path, name: str) -> Path | None:
    """Find a file of this name, compressed or not."""
    return next((path for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


def find(folder: Path, name: str) -> Path:
    """Find a file of this name, compressed or not; raises DataError where there is none."""
    if (path := existing_file(folder, name)) is not None:
        return path
    raise DataError(f"expected {name}, {name}.gz or {name}.xz in {folder}, got none of them; add one")
