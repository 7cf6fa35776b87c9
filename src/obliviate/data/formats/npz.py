"""A `.npz` file of arrays: the form for data of one's own."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from obliviate._util.files import memory
from obliviate.data.formats.base import Arrays, Contents, Format
from obliviate.errors import DataError

HEADERS: Final[dict[tuple[int, int], Callable[[Any], Any]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: Path) -> Contents:
    """Read the arrays under their own names, `train_owner` as the owners; pickled objects are refused."""
    arrays = read_archive(path, what=path.name)
    owners = arrays.pop("train_owner", None)
    return Contents(arrays) if owners is None else Contents(arrays, metadata={"owner": owners}, owner="owner")


def read_archive(path: Path, *, what: str) -> Arrays:
    """Read the arrays of the file that a message calls `what`."""
    try:
        with path.open("rb") as file:
            _check_sizes(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return dict(archive)
    except DataError:
        raise
    # Whatever the modules that unpack and read headers raise of damaged bytes, tokenize's and lzma's errors among them.
    except (Exception, MemoryError) as error:
        raise DataError(
            f"expected {what} to be a .npz file of plain arrays, got {error}; the file is damaged"
        ) from error


def _check_sizes(file: BinaryIO) -> None:
    """Refuse arrays that are larger than their member of the archive, or than memory, before any room is made for them.

    Raises ValueError.
    """
    total = 0
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                if version not in HEADERS:
                    raise ValueError(f"{member.filename} of the unknown format {version}")
                shape, _, dtype = HEADERS[version](stream)
            size = math.prod(shape) * dtype.itemsize
            total += size
            if size > member.file_size:
                raise ValueError(f"{member.filename} of shape {shape}, which its {member.file_size:,} bytes cannot be")
            if total > memory():
                raise ValueError(f"{total:,} bytes up to {member.filename}, more than the machine's memory")


NPZ = Format(
    name="npz",
    looks_for="a file *.npz",
    recognises=lambda path: path.is_file() and path.suffix == ".npz",
    read=lambda path, _: read(path),
)
