"""A `.npz` file of arrays: the form for data of one's own."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from obliviate.data.formats.base import Arrays, Contents, Format
from obliviate.errors import DataError


def read(path: Path) -> Contents:
    """Read the arrays under their own names, `train_owner` as the owners; pickled objects are refused."""
    arrays = read_archive(path, what=path.name)
    owners = arrays.pop("train_owner", None)
    return Contents(arrays) if owners is None else Contents(arrays, metadata={"owner": owners}, owner="owner")


def read_archive(path: Path, *, what: str) -> Arrays:
    """Read the arrays of the file that a message calls `what`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"expected {what} to be a .npz file of plain arrays, got {error}; the file is damaged"
        ) from error


NPZ = Format(
    name="npz",
    looks_for="a file *.npz",
    recognises=lambda path: path.is_file() and path.suffix == ".npz",
    read=lambda path, _: read(path),
)
