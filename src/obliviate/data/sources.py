"""Where data come from: the set that the package ships, and a user's arrays."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from obliviate.data.samples import Samples
from obliviate.errors import DataError

EMBEDDED = "fashion_mnist_5k"
PARTS = ("train", "reference", "test")


@dataclass(frozen=True, eq=False)
class Data:
    """One data set in its three roles: training, unseen reference (may be None) and test."""

    name: str
    classes: int
    train: Samples
    test: Samples
    reference: Samples | None
    sha256: str


def load(source: str | Path) -> Data:
    """Load the shipped set by its name, or a user's `.npz` file of arrays by its path.

    A `.npz` file holds `train_x`, `train_y`, `test_x`, `test_y` and, if there are unseen samples to spare,
    `reference_x`, `reference_y`. Bytes are read as pixels and scaled to [0, 1]; floats are taken as they are. Images
    are "n height width" or "n channels height width". Optional `train_ids` name the training samples.

    Raises DataError for an unknown name, a damaged file, or arrays that do not fit together.

    >>> data = load("fashion_mnist_5k")
    >>> len(data.train), len(data.test), data.classes
    (5000, 2500, 10)
    """
    if str(source) == EMBEDDED:
        return embedded()
    path = Path(source)
    if not path.is_file() or path.suffix != ".npz":
        raise DataError(
            f"expected {EMBEDDED!r} or the path of a .npz file, got {str(source)!r}; see `obliviate train --help`"
        )
    return _from_arrays(path.stem, _read(path, path.name))


def embedded() -> Data:
    """Load the 5,000 + 500 + 2,500 images of Fashion-MNIST that the package ships, checked against their checksum."""
    folder = resources.files("obliviate.data") / "embedded"
    facts = json.loads((folder / f"{EMBEDDED}.json").read_text(encoding="utf-8"))
    with resources.as_file(folder / f"{EMBEDDED}.npz") as path:
        arrays = _read(path, "the embedded data")
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    if digest.hexdigest() != facts["sha256"]:
        raise DataError(
            f"expected the embedded data with sha256 {facts['sha256'][:12]}…, got {digest.hexdigest()[:12]}…; "
            "the file is damaged: install the package again"
        )
    return _from_arrays(EMBEDDED, arrays)


def _read(path: Path, what: str) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"expected {what} to be a .npz file of plain arrays, got {error}; the file is damaged"
        ) from error


def _from_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Data:
    used = [part for part in PARTS if part != "reference" or {"reference_x", "reference_y"} & set(arrays)]
    needed = [f"{part}_{axis}" for part in used for axis in "xy"]
    if missing := [one for one in needed if one not in arrays]:
        raise DataError(f"expected arrays {', '.join(needed)}, got none named {', '.join(missing)}; add them")
    for one in needed:
        kinds, wanted = ("buif", "numbers") if one.endswith("x") else ("iu", "integer class numbers")
        if arrays[one].dtype.kind not in kinds or arrays[one].ndim == 0:
            raise DataError(
                f"expected {wanted} in {one}, got {arrays[one].dtype} of shape {arrays[one].shape}; convert them"
            )
    parts: dict[str, Samples] = {}
    for part in used:
        ids = arrays[f"{part}_ids"].astype(np.str_) if f"{part}_ids" in arrays else None
        labels = torch.from_numpy(arrays[f"{part}_y"].astype(np.int64))
        parts[part] = Samples.from_tensors(pixels(arrays[f"{part}_x"]), labels, ids=ids)
    shapes = {part: tuple(samples.take(torch.arange(1)).x.shape[1:]) for part, samples in parts.items()}
    if len(set(shapes.values())) != 1:
        raise DataError(f"expected samples of one shape, got {shapes}; resize them")
    digest = hashlib.sha256("".join(parts[part].sha256 for part in PARTS if part in parts).encode())
    classes = 1 + max(int(samples.everything().y.max()) for samples in parts.values())
    return Data(name, classes, parts["train"], parts["test"], parts.get("reference"), digest.hexdigest())


def pixels(array: Shaped[np.ndarray, " n ..."]) -> Shaped[Tensor, " n ..."]:
    """Turn bytes into floats in [0, 1], and "n height width" into "n 1 height width".

    >>> pixels(np.full((1, 2, 2), 255, dtype=np.uint8)).shape
    torch.Size([1, 1, 2, 2])
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")))
    tensor = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
    return tensor[:, None] if tensor.ndim == 3 else tensor
