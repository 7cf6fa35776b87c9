"""Rows of numpy arrays, memory-mapped ones among them: what is on disk stays there, and is read batch by batch."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from obliviate.errors import DataError

Convert: TypeAlias = Callable[[np.ndarray], Tensor]
"""Makes what a model receives of some rows of an array."""


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """Rows of an array, made into what a model receives as they are read; targets are held in memory.

    Rows of a mapped file are read from the file, which is faster than by its pages, and takes no memory; rows that lie
    in pieces there come by the pages, which are let go of. In another process the file is opened again: no row is sent.
    """

    x: Shaped[np.ndarray, " n ..."]
    y: Shaped[Tensor, " n ..."]
    convert: Convert

    def __len__(self) -> int:
        return len(self.x)

    def shape(self) -> tuple[int, ...]:
        return tuple(self.convert(np.array(self.x[:1])).shape[1:])

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        numbers = rows.numpy()
        if self._source is not None:
            x = self._source.read(numbers)
        else:
            x = np.asarray(self.x[numbers])
            let_go(self.x)
        return self.convert(x), self.y[rows]

    @cached_property
    def _source(self) -> RowFile | None:
        where = _file_of(self.x)
        return RowFile(where) if where is not None and where.rows_are_whole and hasattr(os, "pread") else None

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (_file_of(self.x) or self.x, self.y, self.convert)


def floats(array: Shaped[np.ndarray, " n ..."]) -> Shaped[Tensor, " n ..."]:
    """Turn bytes into float32 in [0, 1] and other floats into float32; whole numbers become int64, as tokens are.

    >>> floats(np.array([0, 255], dtype=np.uint8)), floats(np.array([1.0])).dtype, floats(np.array([7], dtype=np.int32))
    (tensor([0., 1.]), torch.float32, tensor([7]))
    """
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array)).float().div_(255)
    wanted = np.float32 if array.dtype.kind in "bf" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array, dtype=wanted))


def is_mapped(array: np.ndarray) -> bool:
    """Whether an array is, or is a part of, a file that is mapped into memory."""
    return isinstance(array, np.memmap) and _map_of(array) is not None


def let_go(array: np.ndarray) -> None:
    """Let go of the pages of a mapped file, which come again when they are asked for; of other arrays nothing.

    Changes that are private to this process (`mode="c"`) would be lost, so that these pages stay.
    """
    if isinstance(array, np.memmap) and array.mode != "c" and (mapped := _map_of(array)) is not None:
        advise = getattr(mapped, "madvise", None)  # which is not on every system
        if advise is not None:
            advise(mmap.MADV_DONTNEED)


def check_arrays(x: Any, y: Any) -> None:
    """Refuse what are no arrays of numbers in rows, one a sample; raises DataError."""
    for what, values in (("inputs", x), ("targets", y)):
        if not isinstance(values, np.ndarray):
            remedy = "`Samples.from_tensors`" if isinstance(values, Tensor) else "`np.asarray(…)`"
            raise DataError(f"expected {what} as a numpy array, got {type(values).__name__}; use {remedy}")
        if values.dtype.kind not in "buif" or values.ndim == 0:
            raise DataError(
                f"expected {what} of numbers in rows, one a sample, got {values.dtype} of shape {values.shape}; "
                "convert them"
            )
    if len(x) != len(y):
        raise DataError(f"expected as many targets as inputs, got {len(x)} inputs and {len(y)} targets; align them")


@dataclass(frozen=True)
class _File:
    """Where an array stands in a file."""

    path: str
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def rows_are_whole(self) -> bool:
        """Whether the numbers of a row lie one behind another."""
        size = self.dtype.itemsize
        for length, stride in zip(reversed(self.shape[1:]), reversed(self.strides[1:]), strict=True):
            if length != 1 and stride != size:
                return False
            size *= length
        return size > 0

    def mapped(self) -> np.ndarray:
        whole = np.memmap(self.path, dtype=np.uint8, mode="r")
        first = whole[self.start : self.start + self.dtype.itemsize].view(self.dtype)
        return np.lib.stride_tricks.as_strided(first, self.shape, self.strides, subok=True, writeable=False)


class RowFile:
    """Reads rows of an array from its file, which is closed when nobody needs it any more."""

    def __init__(self, where: _File) -> None:
        self._where = where
        self._descriptor = os.open(where.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, rows: Int[np.ndarray, " n"]) -> Shaped[np.ndarray, " n ..."]:
        """Rows by their numbers; raises DataError where the file ends before one of them."""
        where, size = self._where, self._where.row_bytes
        starts = where.start + rows.astype(np.int64) * where.strides[0]
        parts = [os.pread(self._descriptor, size, start) for start in starts.tolist()]
        if any(len(part) != size for part in parts):
            raise DataError(f"expected rows of {size:,} bytes in {where.path}, got an end before; restore the file")
        return np.frombuffer(bytearray().join(parts), dtype=where.dtype).reshape(len(rows), *where.shape[1:])


def _file_of(array: np.ndarray) -> _File | None:
    """Where a mapped array stands in its file; None for one in memory, or with changes that are in no file."""
    mapped = _map_of(array)
    if not isinstance(array, np.memmap) or mapped is None or array.mode == "c" or array.filename is None:
        return None
    first = np.frombuffer(mapped, dtype=np.uint8).__array_interface__["data"][0]
    start = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
    start += array.__array_interface__["data"][0] - first
    return _File(str(array.filename), start, array.shape, array.dtype, array.strides)


def _map_of(array: np.ndarray) -> mmap.mmap | None:
    """The map that an array is a view of."""
    held: Any = array
    while held is not None and not isinstance(held, mmap.mmap):
        held = getattr(held, "base", None)
    return held


def _again(x: np.ndarray | _File, y: Tensor, convert: Convert) -> ArrayStore:
    return ArrayStore(x.mapped() if isinstance(x, _File) else x, y, convert)
