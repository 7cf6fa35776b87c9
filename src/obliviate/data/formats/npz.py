"""A `.npz` file of arrays: the form for data of one's own."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from jaxtyping import Shaped

from obliviate._util.files import memory
from obliviate.data.features import Limits, Targets
from obliviate.data.formats.base import Arrays, Contents, Format
from obliviate.errors import DataError

LAYOUTS: Final = ("channels first", "channels last", "images", "as stored")
AS_STORED: Final = LAYOUTS[3]
CHANNELS: Final = (1, 3, 4)  # that images usually have
LONGER: Final = 4  # times as long as they are wide are sequences, and no images
MAPPED: Final = 2**26  # bytes of inputs from which on they stay on disk
LENGTHS_AT: Final = 26  # bytes into the header of a member of a zip archive
INPUTS: Final = ("train_x", "test_x", "holdout_x")
TARGETS: Final = ("train_y", "test_y", "holdout_y")
HEADERS: Final[dict[tuple[int, int], Callable[[Any], Any]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: Path) -> Contents:
    """Read the arrays under their own names, `train_owner` as the owners; pickled objects are refused.

    `layout` (a text of `LAYOUTS`) says what the axes of inputs are, where their sizes do not, and `input_range` in what
    range these lie: two numbers, or two rows of one a channel.
    """
    return contents_of(read_archive(path, what=path.name), path)


def contents_of(arrays: Arrays, path: Path) -> Contents:
    """What arrays of these names say, as `read` does of those in a file; raises DataError for what does not fit."""
    owners, layout, limits = (arrays.pop(name, None) for name in ("train_owner", "layout", "input_range"))
    arrays, notes, sequences = laid_out(arrays, None if layout is None else str(layout))
    arrays, targets = labelled(arrays)
    metadata = {} if owners is None else {"owner": owners}
    return Contents(
        arrays,
        metadata=metadata,
        owner=None if owners is None else "owner",
        targets=targets,
        notes=notes,
        sequences=sequences,
        input_range=None if limits is None else limits_of(limits, path),
    )


def laid_out(arrays: Arrays, layout: str | None) -> tuple[Arrays, tuple[str, ...], bool]:
    """Put channels before positions, say so, and whether the inputs are sequences of several channels.

    Arrays of four axes are images, those of three grey images or sequences, and others stay. The sizes tell: images
    have 1, 3 or 4 channels; floats that are more than four times as long as they are wide are sequences. Raises
    DataError where that is not clear and no `layout` says it.

    >>> arrays, notes, _ = laid_out({"train_x": np.zeros((5, 8, 8, 3))}, None)
    >>> arrays["train_x"].shape, notes
    ((5, 3, 8, 8), ('images of 8 × 8 × 3 are read with their channels first: 3 × 8 × 8',))
    """
    if layout not in {None, *LAYOUTS}:
        raise DataError(f"expected a layout of {', '.join(LAYOUTS)}, got {layout!r}; correct `layout`")
    shape = arrays["train_x"].shape[1:] if "train_x" in arrays else ()
    if layout == AS_STORED:
        return arrays, (f"arrays of {_by(shape)} are given to the model as they are stored",), len(shape) == 2
    order, sequences = layout, False
    if len(shape) == 3 and layout is None:
        order = _image_layout(shape)
    elif (
        len(shape) == 2 and layout is None and arrays["train_x"].dtype.kind == "f" and min(shape) * LONGER < max(shape)
    ):
        order = LAYOUTS[0] if shape[0] < shape[1] else LAYOUTS[1]
    if len(shape) == 2:
        sequences = order in LAYOUTS[:2]
    if order == LAYOUTS[1]:
        arrays = arrays | {
            name: np.moveaxis(arrays[name], -1, 1)
            for name in INPUTS
            if name in arrays and arrays[name].ndim == len(shape) + 1
        }
    if sequences:
        channels, length = arrays["train_x"].shape[1:]
        moved = f', channels first; an array `layout` of "{AS_STORED}" leaves them' if order == LAYOUTS[1] else ""
        read = f"arrays of {_by(shape)} are read as sequences of {channels} channels, {length} long{moved}"
        return arrays, (read,), True
    if order == LAYOUTS[1]:
        now = _by(arrays["train_x"].shape[1:])
        return arrays, (f"images of {_by(shape)} are read with their channels first: {now}",), False
    return arrays, (), False


def _image_layout(shape: tuple[int, ...]) -> str | None:
    """Which axis of images holds the channels; None for shapes that are no usual images."""
    first, last = shape[0] in CHANNELS, shape[-1] in CHANNELS
    if (first and last and shape[0] != shape[-1]) or (shape[0], shape[-1]) == (3, 3):
        raise DataError(
            f"expected images whose channels can be told by their number (1, 3 or 4), got images of {_by(shape)}, "
            f'which may be read in two ways; add an array `layout` of "{LAYOUTS[0]}" or "{LAYOUTS[1]}" to the file'
        )
    return "channels last" if last and not first else None


def labelled(arrays: Arrays) -> tuple[Arrays, Targets | None]:
    """Labels as class numbers, "n", where they are written otherwise, and the names of classes that are words.

    Words are classes in the order of the alphabet; true is 1, and whole numbers among floats are numbers. Raises
    DataError for labels that are one-hot, below 0, or no whole numbers.

    >>> arrays, targets = labelled({"train_y": np.array(["yes", "no"]), "test_y": np.array(["no"])})
    >>> arrays["train_y"], targets.names
    (array([1, 0]), ('no', 'yes'))
    """
    labels = {name: arrays[name] for name in TARGETS if name in arrays}
    for name, y in labels.items():
        if y.ndim == 2 and y.shape[1] == 1:
            labels[name] = y[:, 0]
        elif y.ndim > 1:
            _refuse_labels(name, y)
    if labels and all(y.dtype.kind in "US" for y in labels.values()):
        named = {name: y.astype(np.str_) for name, y in labels.items()}
        names = np.unique(named["train_y"]) if "train_y" in named else np.array([])
        for name, y in named.items():
            if len(unseen := np.setdiff1d(y, names)):
                raise DataError(f"expected classes of train_y in {name}, got {str(unseen[0])!r}; correct the labels")
        numbers = {name: np.searchsorted(names, y) for name, y in named.items()}
        return arrays | numbers, Targets(tuple(names.tolist()))
    for name, y in labels.items():
        if y.dtype.kind == "b" or (y.dtype.kind == "f" and bool(np.all(np.isfinite(y) & (y == np.round(y))))):
            labels[name] = y.astype(np.int64)
        elif y.dtype.kind == "f":
            odd = y[~np.isfinite(y) | (y != np.round(y))].flat[0]
            raise DataError(
                f"expected integer class numbers in {name}, got {y.dtype} such as {odd:g}; number the classes "
                'from 0, or describe a table with kind = "regression"'
            )
        if labels[name].dtype.kind == "i" and len(y) and (least := int(labels[name].min())) < 0:
            raise DataError(f"expected class numbers from 0 on in {name}, got {least}; number the classes 0, 1, 2 …")
    return arrays | labels, None


def _refuse_labels(name: str, y: Shaped[np.ndarray, "n ..."]) -> None:
    got = f"{y.dtype} of shape {y.shape}"
    if y.ndim == 2 and bool(np.isin(y, (0, 1)).all()) and bool((y.sum(1) == 1).all()):
        raise DataError(f"expected one class number a sample in {name}, got {got}; they are one-hot: take `.argmax(1)`")
    raise DataError(
        f"expected one class number a sample in {name}, got {got}; give one class a sample"
        + (": labels of every position (segmentation) are not served" if y.ndim > 2 else "")
    )


def limits_of(limits: Shaped[np.ndarray, ...], path: Path) -> Limits:
    """The range of inputs as it is written: two numbers, or two rows of one a channel; raises DataError for others."""
    if (
        limits.shape[:1] != (2,)
        or limits.ndim > 2
        or limits.dtype.kind not in "buif"
        or not (limits[0] < limits[1]).all()
    ):
        raise DataError(
            f"expected `input_range` in {path.name} to be two numbers, or two rows of one a channel, the lower first, "
            f"got {limits.dtype} of shape {limits.shape}; correct it"
        )
    low, high = limits.astype(float).tolist()
    return (low, high) if limits.ndim == 1 else (tuple(low), tuple(high))


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def read_archive(path: Path, *, what: str) -> Arrays:
    """Read the arrays of the file that a message calls `what`; inputs that are large and not packed stay there.

    These are mapped, and what is read of them is not checked against the archive's sums.
    """
    try:
        with path.open("rb") as file:
            starts = _check_sizes(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: _mapped(path, starts[name]) if name in starts else archive[name] for name in archive}
    except DataError:
        raise
    # Whatever the modules that unpack and read headers raise of damaged bytes, tokenize's and lzma's errors among them.
    except (Exception, MemoryError) as error:
        raise DataError(
            f"expected {what} to be a .npz file of plain arrays, got {error}; the file is damaged"
        ) from error


@dataclass(frozen=True)
class Stored:
    """Where an array stands in an archive."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Literal["C", "F"]


def _mapped(path: Path, stored: Stored) -> np.ndarray:
    return np.memmap(path, stored.dtype, "r", stored.start, stored.shape, stored.order)


def _check_sizes(file: BinaryIO) -> dict[str, Stored]:
    """Refuse arrays that are larger than their member of the archive, or than memory, before any room is made for them.

    Return where those inputs stand that are to be mapped, which take no memory. Raises ValueError.
    """
    total, starts = 0, dict[str, Stored]()
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                if version not in HEADERS:
                    raise ValueError(f"{member.filename} of the unknown format {version}")
                shape, fortran, dtype = HEADERS[version](stream)
                header = stream.tell()
            size = math.prod(shape) * dtype.itemsize
            if size > member.file_size - header:
                raise ValueError(f"{member.filename} of shape {shape}, which its {member.file_size:,} bytes cannot be")
            name = member.filename.removesuffix(".npy")
            if size >= MAPPED and name in INPUTS and member.compress_type == zipfile.ZIP_STORED and not dtype.hasobject:
                starts[name] = Stored(_content_start(file, member) + header, shape, dtype, "F" if fortran else "C")
                continue
            total += size
            if total > memory():
                raise ValueError(f"{total:,} bytes up to {member.filename}, more than the machine's memory")
    return starts


def _content_start(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where the content of a member of an archive begins: behind its own header, whose length stands in it."""
    file.seek(member.header_offset + LENGTHS_AT)
    name, extra = struct.unpack("<HH", file.read(4))
    return member.header_offset + LENGTHS_AT + 4 + name + extra


NPZ = Format(
    name="npz",
    looks_for="a file *.npz",
    recognises=lambda path: path.is_file() and path.suffix == ".npz",
    read=lambda path, _: read(path),
)
