"""Where data come from: the set that the package ships, and a user's files in any of the known formats."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from obliviate.data import formats
from obliviate.data.formats.base import Arrays
from obliviate.data.formats.npz import read_archive
from obliviate.data.samples import Samples
from obliviate.data.selection import PARTS, select
from obliviate.errors import DataError

EMBEDDED = "fashion_mnist_5k"


@dataclass(frozen=True, eq=False)
class Data:
    """One data set in its three roles: training, unseen reference (may be None) and test.

    `notes` are sentences on what was left out, and on exact copies.
    """

    name: str
    classes: int
    train: Samples
    test: Samples
    reference: Samples | None
    sha256: str
    notes: tuple[str, ...] = ()


def load(
    source: str | Path, *, train_size: int | None = None, reference_size: int | None = None, seed: int = 0
) -> Data:
    """Load the shipped set by its name, or a user's data by their path; the format is recognised by the files there.

    A `.npz` file holds `train_x`, `train_y`, `test_x`, `test_y` and, if there are unseen samples to spare,
    `reference_x`, `reference_y`. Bytes are read as pixels and scaled to [0, 1]; floats are taken as they are. Images
    are "n height width" or "n channels height width". Optional `train_ids` name the training samples. The other
    formats (idx, CIFAR, SVHN, mosaics, folders of images) are described in docs/data.md.

    `reference_size` training samples are drawn to be the unseen reference set, and then `train_size` of the rest to be
    trained on; both draws are functions of the seed. A test sample whose input is also trained on is left out.

    Raises DataError for an unknown source, a missing or damaged file, or arrays that do not fit together.

    >>> data = load("fashion_mnist_5k", train_size=1000)
    >>> len(data.train), len(data.test), data.classes
    (1000, 2500, 10)
    """
    if str(source) == EMBEDDED:
        name, arrays = EMBEDDED, _embedded_arrays()
    else:
        path = Path(source)
        form = formats.recognise(path)
        try:
            name, arrays = path.resolve().stem if path.is_file() else path.resolve().name, form.read(path)
        except OSError as error:
            raise DataError(
                f"expected {form.name} in {path}, got {error}; check the files and their permissions"
            ) from error
    return _from_arrays(name, arrays, train_size, reference_size, seed)


def embedded() -> Data:
    """Load the 5,000 + 500 + 2,500 images of Fashion-MNIST that the package ships, checked against their checksum."""
    return load(EMBEDDED)


def _embedded_arrays() -> Arrays:
    folder = resources.files("obliviate.data") / "embedded"
    facts = json.loads((folder / f"{EMBEDDED}.json").read_text(encoding="utf-8"))
    with resources.as_file(folder / f"{EMBEDDED}.npz") as path:
        arrays = read_archive(path, what="the embedded data")
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    if digest.hexdigest() != facts["sha256"]:
        raise DataError(
            f"expected the embedded data with sha256 {facts['sha256'][:12]}…, got {digest.hexdigest()[:12]}…; "
            "the file is damaged: install the package again"
        )
    return arrays


def _from_arrays(name: str, arrays: Arrays, train_size: int | None, reference_size: int | None, seed: int) -> Data:
    _check(arrays)
    classes = 1 + max(int(arrays[f"{part}_y"].max()) for part in PARTS if f"{part}_y" in arrays)
    chosen, notes = select(arrays, train_size=train_size, reference_size=reference_size, seed=seed)
    parts: dict[str, Samples] = {}
    for part in PARTS:
        if f"{part}_x" in chosen:
            ids = chosen[f"{part}_ids"].astype(np.str_) if f"{part}_ids" in chosen else None
            labels = torch.from_numpy(chosen[f"{part}_y"].astype(np.int64))
            parts[part] = Samples.from_tensors(pixels(chosen[f"{part}_x"]), labels, ids=ids)
    digest = hashlib.sha256("".join(parts[part].sha256 for part in PARTS if part in parts).encode())
    return Data(name, classes, parts["train"], parts["test"], parts.get("reference"), digest.hexdigest(), notes)


def _check(arrays: Arrays) -> None:
    """Refuse arrays that are missing, of the wrong kind, or that do not fit together."""
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
    for part in used:
        n = len(arrays[f"{part}_x"])
        if n == 0:
            raise DataError(f"expected at least one sample in {part}_x, got none; check how the data were made")
        if len(arrays[f"{part}_y"]) != n:
            got = len(arrays[f"{part}_y"])
            raise DataError(
                f"expected as many targets as inputs, got {n} inputs and {got} targets in {part}; align them"
            )
        if (ids := arrays.get(f"{part}_ids")) is not None and ids.shape != (n,):
            got = f"{len(ids)} ids" if ids.ndim == 1 else f"ids of shape {ids.shape}"
            raise DataError(f"expected one id per sample, got {got} for {n} samples of {part}; align them")
    shapes = {part: _image_shape(arrays[f"{part}_x"]) for part in used}
    if len(set(shapes.values())) != 1:
        raise DataError(f"expected samples of one shape, got {shapes}; resize them")


def _image_shape(array: Shaped[np.ndarray, " n ..."]) -> tuple[int, ...]:
    return (1, *array.shape[1:]) if array.ndim == 3 else array.shape[1:]


def pixels(array: Shaped[np.ndarray, " n ..."]) -> Shaped[Tensor, " n ..."]:
    """Turn bytes into floats in [0, 1], and "n height width" into "n 1 height width".

    >>> pixels(np.full((1, 2, 2), 255, dtype=np.uint8)).shape
    torch.Size([1, 1, 2, 2])
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")))
    tensor = tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor.float()
    return tensor[:, None] if tensor.ndim == 3 else tensor
