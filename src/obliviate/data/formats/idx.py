"""The four `idx` files of MNIST, Fashion-MNIST and their kin, compressed by gzip or not.

Source: LeCun, Cortes, Burges, "The MNIST database", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from obliviate.data.formats.base import Arrays, Format, damaged
from obliviate.errors import DataError

PREFIXES: Final = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE: Final = 8


def read(folder: Path) -> Arrays:
    """Read images and labels of both parts; other files of the folder are left alone."""
    arrays: Arrays = {}
    for part, prefix in PREFIXES.items():
        arrays[f"{part}_x"] = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"), dimensions=3)
        arrays[f"{part}_y"] = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"), dimensions=1)
    return arrays


def read_idx(path: Path, *, dimensions: int) -> UInt8[np.ndarray, ...]:
    """Read one file of unsigned bytes: two zeros, the type, the number of dimensions, the sizes, the values."""
    wanted = f"an idx file of unsigned bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, wanted=wanted, got=error) from error
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise damaged(path, wanted=wanted, got=f"a file that begins with {content[:4].hex(' ') or 'nothing'}")
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, start, 4)]
    if len(content) - start != math.prod(shape):
        raise damaged(path, wanted=f"{' × '.join(map(str, shape))} bytes", got=len(content) - start)
    # A copy, since torch warns of arrays that cannot be written to.
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"expected {name} or {name}.gz in {folder}, got neither; add one of them")


IDX = Format(
    name="idx",
    looks_for="the idx files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… (or .gz)",
    recognises=lambda path: any((path / f"train-images-idx3-ubyte{end}").is_file() for end in ("", ".gz")),
    read=read,
)
