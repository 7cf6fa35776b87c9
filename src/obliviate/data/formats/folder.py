"""A folder of images: `train/<class>/*.png`, `test/<class>/*.png`, and perhaps `holdout/<class>/*.png`.

The classes are the folders of `train` in alphabetical order; an image's id is its path, such as "train/cat/001.png".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from obliviate._util.files import memory
from obliviate.data.features import Targets
from obliviate.data.formats.base import Arrays, Contents, Format
from obliviate.data.formats.images import decode, header
from obliviate.errors import DataError

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")


@dataclass(frozen=True)
class _Part:
    paths: list[Path]
    labels: list[int]


def read(folder: Path, _: int) -> Contents:
    """Read all images, which must have one size; they are grey if every one of them is, and RGB if not."""
    if not (folder / "test").is_dir():
        raise DataError(f"expected folders train and test in {folder}, got no test; add unseen images of each class")
    classes = [class_folder.name for class_folder in _visible(folder / "train")]
    names = [name for name in ("train", "test", "holdout") if (folder / name).is_dir()]
    parts = {name: _part(folder / name, classes) for name in names}
    everything = [path for part in parts.values() for path in part.paths]
    first, grey = everything[0], True
    height, width, _ = header(first)
    for path in everything:
        size = header(path)
        if size[:2] != (height, width):
            raise DataError(
                f"expected images of one size, got {height}×{width} pixels in {first} and {size[0]}×{size[1]} in "
                f"{path}; resize them"
            )
        grey = grey and size[2]
    total = len(everything) * height * width * (1 if grey else 3)
    if total > memory():
        raise DataError(
            f"expected images that memory holds, got {len(everything):,} of {height}×{width} pixels in {folder}, "
            f"{total:,} bytes; make them smaller, or read them on demand with `ob.Samples.from_dataset`"
        )
    arrays: Arrays = {}
    for name, part in parts.items():
        shape = (height, width) if grey else (3, height, width)
        x = np.empty((len(part.paths), *shape), dtype=np.uint8)
        for place, path in enumerate(part.paths):
            pixels = decode(path, grey=grey)
            x[place] = pixels if grey else pixels.transpose(2, 0, 1)
        arrays |= {f"{name}_x": x, f"{name}_y": np.array(part.labels)}
        arrays[f"{name}_ids"] = np.array([path.relative_to(folder).as_posix() for path in part.paths])
    return Contents(arrays, targets=Targets(tuple(classes)))


def _part(folder: Path, classes: list[str]) -> _Part:
    part = _Part([], [])
    for class_folder in _visible(folder):
        if not class_folder.is_dir() or class_folder.name not in classes:
            raise DataError(
                f"expected one folder per class of train in {folder}, got {class_folder.name}; move it, or add it to "
                "train"
            )
        images = _visible(class_folder)
        for path in images:
            if not path.is_file() or path.suffix.lower() not in SUFFIXES:
                raise DataError(
                    f"expected images ({', '.join(SUFFIXES)}) in {class_folder}, got {path.name}; remove it"
                )
        if not images:
            raise DataError(
                f"expected images in every class folder, got none in {class_folder}; add some, or remove the folder"
            )
        part.paths.extend(images)
        part.labels.extend([classes.index(class_folder.name)] * len(images))
    if not part.paths:
        raise DataError(f"expected one folder per class in {folder}, got none; add them")
    return part


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, by name, but for files that systems hide in it."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


FOLDER = Format(
    name="folder of images",
    looks_for="folders train/<class>/ and test/<class>/ of images",
    recognises=lambda path: (path / "train").is_dir(),
    read=read,
)
