"""A folder of `.npy` files, one array each under the names of a `.npz` file: the form for what memory cannot hold."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from obliviate.data.formats.base import Arrays, Contents, Format
from obliviate.data.formats.npz import INPUTS, MAPPED, TARGETS, contents_of
from obliviate.errors import DataError

NAMES: Final = (
    *(*INPUTS, *TARGETS),
    *("train_ids", "holdout_ids", "test_ids", "train_owner", "holdout_owner", "test_owner", "layout", "input_range"),
)


def read(folder: Path) -> Contents:
    """Read the arrays of a folder; inputs that are large are mapped, and stay on disk.

    Raises DataError for files that are no plain arrays.
    """
    arrays: Arrays = {}
    for name in NAMES:
        path = folder / f"{name}.npy"
        if not path.is_file():
            continue
        mapped = name in INPUTS and path.stat().st_size >= MAPPED
        try:
            arrays[name] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (ValueError, EOFError, MemoryError) as error:
            raise DataError(
                f"expected {path.name} to be a .npy file of a plain array, got {error}; the file is damaged"
            ) from error
    return contents_of(arrays, folder)


NPY = Format(
    name="npy",
    looks_for="a file train_x.npy",
    recognises=lambda path: path.is_dir() and (path / "train_x.npy").is_file(),
    read=lambda path, _: read(path),
)
