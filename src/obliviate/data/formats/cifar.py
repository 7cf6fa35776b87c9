"""The official CIFAR-10 and CIFAR-100 batches: pickles for Python, and binary files.

Source: Krizhevsky 2009 and https://www.cs.toronto.edu/~kriz/cifar.html. CIFAR-100 has its 100 fine labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from obliviate.data.formats.base import Arrays, Format, damaged, need, whole
from obliviate.data.formats.batch_pickle import read_pickle

IMAGE: Final = (3, 32, 32)
PIXELS: Final = 3 * 32 * 32
TEN: Final = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
HUNDRED: Final = {"train": ("train",), "test": ("test",)}


def read_python(folder: Path) -> Arrays:
    """Read the pickled batches, without running anything that they name."""
    ten = (folder / "data_batch_1").is_file()
    files, labels = (TEN, "labels") if ten else (HUNDRED, "fine_labels")
    need(folder, [name for names in files.values() for name in names], what="CIFAR's python batches")
    arrays: Arrays = {}
    for part, names in files.items():
        batches = [_python_batch(folder / name, labels) for name in names]
        arrays[f"{part}_x"] = np.concatenate([x for x, _ in batches]).reshape(-1, *IMAGE)
        arrays[f"{part}_y"] = np.concatenate([y for _, y in batches])
    return arrays


def _python_batch(path: Path, labels: str) -> tuple[UInt8[np.ndarray, "n pixels"], UInt8[np.ndarray, " n"]]:
    content = read_pickle(path)
    x, y = content.get("data"), content.get(labels)
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.shape[1] != PIXELS:
        got = x.shape if isinstance(x, np.ndarray) else type(x).__name__
        raise damaged(path, wanted=f"an array `data` of n × {PIXELS} bytes", got=got)
    if not isinstance(y, list) or len(y) != len(x) or not all(type(label) is int and 0 <= label < 100 for label in y):
        got = f"{len(y)} entries" if isinstance(y, list) else type(y).__name__
        raise damaged(path, wanted=f"a list `{labels}` of {len(x)} class numbers", got=got)
    return x, np.array(y, dtype=np.uint8)


def read_binary(folder: Path) -> Arrays:
    """Read rows of one label byte (CIFAR-100: coarse, then fine) and 3,072 pixel bytes."""
    ten = (folder / "data_batch_1.bin").is_file()
    files, labels = (TEN, 1) if ten else (HUNDRED, 2)
    need(folder, [f"{name}.bin" for names in files.values() for name in names], what="CIFAR's binary batches")
    arrays: Arrays = {}
    for part, names in files.items():
        rows = np.concatenate([_binary_batch(folder / f"{name}.bin", labels) for name in names])
        arrays[f"{part}_x"] = rows[:, labels:].reshape(-1, *IMAGE)
        arrays[f"{part}_y"] = rows[:, labels - 1]
    return arrays


def _binary_batch(path: Path, labels: int) -> UInt8[np.ndarray, "n row"]:
    content, row = np.fromfile(path, dtype=np.uint8), labels + PIXELS
    if len(content) == 0 or len(content) % row:
        raise damaged(path, wanted=f"rows of {row} bytes", got=f"{len(content)} bytes")
    return content.reshape(-1, row)


def _are_files(folder: Path, *names: str) -> bool:
    return all((folder / name).is_file() for name in names)


CIFAR_PYTHON = Format(
    name="CIFAR python batches",
    looks_for="CIFAR's python batches (data_batch_1 … 5 and test_batch, or train and test)",
    recognises=lambda path: _are_files(path, "data_batch_1") or _are_files(path, "train", "test"),
    read=whole(read_python),
)
CIFAR_BINARY = Format(
    name="CIFAR binary batches",
    looks_for="CIFAR's binary batches (data_batch_1.bin … 5.bin and test_batch.bin, or train.bin and test.bin)",
    recognises=lambda path: _are_files(path, "data_batch_1.bin") or _are_files(path, "train.bin", "test.bin"),
    read=whole(read_binary),
)
