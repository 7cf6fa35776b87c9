"""Lossless WebP mosaics of many 32×32 images, beside their labels in `.npy` files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from obliviate.data.formats.base import Arrays, Format, damaged, need, whole
from obliviate.data.formats.images import decode
from obliviate.errors import DataError

SIDE: Final = 32
LABELS: Final = {"train": "train_labels.npy", "test": "test_labels.npy"}


def read(folder: Path) -> Arrays:
    """Read the mosaics of both parts in the order of their numbers, each row by row."""
    need(folder, tuple(LABELS.values()), what="the labels of the mosaics")
    arrays: Arrays = {}
    for part, name in LABELS.items():
        labels = _labels(folder / name)
        images = np.empty((len(labels), 3, SIDE, SIDE), dtype=np.uint8)
        paths, start = sorted(folder.glob(f"{part}_[0-9]*.webp")), 0
        for path in paths:
            tiles = _tiles(path)
            images[start : start + len(tiles)] = tiles[: len(images) - start]
            start += len(tiles)
        if start != len(labels):
            raise DataError(
                f"expected {len(labels)} images in {part}_*.webp, as many as labels, got {start} in {len(paths)} files "
                f"of {folder}; complete them"
            )
        arrays |= {f"{part}_x": images, f"{part}_y": labels}
    return arrays


def _labels(path: Path) -> UInt8[np.ndarray, " n"]:
    wanted = "one row of uint8 labels"
    try:
        labels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise damaged(path, wanted=wanted, got=error) from error
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 1:
        got = f"{labels.dtype} of shape {labels.shape}" if isinstance(labels, np.ndarray) else "an archive"
        raise damaged(path, wanted=wanted, got=got)
    return labels


def _tiles(path: Path) -> UInt8[np.ndarray, "n 3 32 32"]:
    pixels = decode(path, grey=False)
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    if pixels.shape != (rows * SIDE, columns * SIDE, 3):
        raise damaged(path, wanted=f"whole images of {SIDE}×{SIDE}", got=f"{pixels.shape[0]}×{pixels.shape[1]} pixels")
    return pixels.reshape(rows, SIDE, columns, SIDE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)


MOSAIC = Format(
    name="mosaics",
    looks_for="mosaics train_00.webp …, test_00.webp … with train_labels.npy and test_labels.npy",
    recognises=lambda path: (path / "train_00.webp").is_file(),
    read=whole(read),
)
