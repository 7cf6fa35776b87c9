"""What a format is: how it is recognised, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from obliviate.errors import DataError

Arrays: TypeAlias = dict[str, np.ndarray]
"""`train_x`, `train_y`, `test_x`, `test_y`, and perhaps `reference_x`, `reference_y` and `train_ids` and the like.

Images are bytes of shape "n height width" or "n channels height width".
"""


@dataclass(frozen=True)
class Format:
    """A way in which data are stored.

    `looks_for` says in words what `recognises` looks for; `read` raises DataError where files are missing, damaged or
    foreign.
    """

    name: str
    looks_for: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Arrays]


def need(folder: Path, names: Sequence[str], *, what: str) -> None:
    """Refuse a folder in which one of these files is missing."""
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DataError(
            f"expected {what} ({', '.join(names)}) in {folder}, got none named {', '.join(missing)}; add them"
        )


def damaged(path: Path, *, wanted: str, got: object) -> DataError:
    """The error of a file whose content is not what its name says."""
    return DataError(f"expected {wanted} in {path}, got {got}; the file is damaged or foreign: fetch it again")
