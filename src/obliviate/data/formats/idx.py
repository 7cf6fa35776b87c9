"""The four `idx` files of MNIST, Fashion-MNIST and their kin, compressed by gzip or not.

Source: LeCun, Cortes, Burges, "The MNIST database", section "File formats". Beside MNIST's own files, the labels of
QMNIST (Yadav and Bottou 2019, https://github.com/facebookresearch/qmnist) tell who wrote each digit.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int32, Shaped, UInt8

from obliviate._util.files import memory
from obliviate.data.formats.base import Arrays, Contents, Format, damaged
from obliviate.errors import DataError

PREFIXES: Final = {"train": "train", "test": "t10k"}
CODES: Final = {"u1": (0x08, "unsigned bytes"), "i4": (0x0C, "integers of four bytes")}
QMNIST_COLUMNS: Final = 8  # label, NIST partition, writer, index of the writer's digit, NIST class, index in NIST, …
WRITER: Final = 2


def read(folder: Path) -> Contents:
    """Read images and labels of both parts, and the writers if QMNIST's labels are there."""
    arrays: Arrays = {}
    for part, prefix in PREFIXES.items():
        arrays[f"{part}_x"] = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"), dimensions=3)
        arrays[f"{part}_y"] = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"), dimensions=1)
    path, test = (_existing_file(folder, f"qmnist-{part}-labels-idx2-int") for part in ("train", "test"))
    if path is None:
        return Contents(arrays)
    if test is not None:
        arrays["test_owner"] = _writers(test, arrays["test_y"], more=True)
    return Contents(arrays, metadata={"writer": _writers(path, arrays["train_y"])}, owner="writer")


def read_idx(path: Path, *, dimensions: int, kind: str = "u1") -> Shaped[np.ndarray, ...]:
    """Read one file of unsigned bytes or, of kind "i4", of integers of four bytes.

    It holds two zeros, the type, the number of dimensions, the sizes, and the values, all big-endian.
    """
    code, what = CODES[kind]
    wanted = f"an idx file of {what} in {dimensions} dimension{'s' if dimensions > 1 else ''}"
    start = 4 + 4 * dimensions
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(start)
            if len(head) < start or head[:4] != bytes((0, 0, code, dimensions)):
                raise damaged(path, wanted=wanted, got=f"a file that begins with {head[:4].hex(' ') or 'nothing'}")
            shape = [int.from_bytes(head[place : place + 4], "big") for place in range(4, start, 4)]
            size = math.prod(shape) * np.dtype(kind).itemsize
            factors = " × ".join(map(str, shape if kind == "u1" else [*shape, np.dtype(kind).itemsize]))
            if size > memory():
                raise damaged(path, wanted=wanted, got=f"one of {factors} bytes, more than the machine's memory")
            content = file.read(size + 1)  # what is packed behind it is never unpacked
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, wanted=wanted, got=error) from error
    if len(content) != size:
        raise damaged(path, wanted=f"{factors} bytes", got="more than that" if len(content) > size else len(content))
    # A copy, since torch warns of arrays that cannot be written to.
    return np.frombuffer(content, dtype=f">{kind}").reshape(shape).astype(kind)


def _writers(path: Path, labels: UInt8[np.ndarray, " n"], *, more: bool = False) -> Shaped[np.ndarray, " n"]:
    """The writers of MNIST's images: QMNIST's rows are in the same order, which their labels must confirm.

    With `more`, rows may follow: QMNIST's test part begins with MNIST's.
    """
    rows: Int32[np.ndarray, "_ columns"] = read_idx(path, dimensions=2, kind="i4")
    rows = rows[: len(labels)] if more else rows
    if rows.shape != (len(labels), QMNIST_COLUMNS):
        raise damaged(path, wanted=f"{len(labels)} × {QMNIST_COLUMNS} numbers", got=" × ".join(map(str, rows.shape)))
    if len(differing := np.flatnonzero(rows[:, 0] != labels)):
        row = int(differing[0])
        raise damaged(path, wanted=f"label {labels[row]} of image {row}", got=f"{rows[row, 0]}, another data set's")
    return rows[:, WRITER].astype(np.str_)


def _existing_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _find(folder: Path, name: str) -> Path:
    if (path := _existing_file(folder, name)) is not None:
        return path
    raise DataError(f"expected {name} or {name}.gz in {folder}, got neither; add one of them")


IDX = Format(
    name="idx",
    looks_for="the idx files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… (or .gz)",
    recognises=lambda path: any((path / f"train-images-idx3-ubyte{end}").is_file() for end in ("", ".gz")),
    read=lambda path, _: read(path),
)
