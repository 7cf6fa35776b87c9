"""The cropped digits of SVHN: `train_32x32.mat` and `test_32x32.mat` (Netzer et al. 2011, format 2).

`extra_32x32.mat` is not read.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from obliviate._util.files import memory
from obliviate.data.formats.base import Arrays, Format, damaged, need, whole

HDF5: Final = 2  # the major version that such files have for scipy, which does not read them
MOST_PACKED: Final = 1100  # bytes that zlib makes of one
FILES: Final = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def read(folder: Path) -> Arrays:
    """Read both parts; the files say 10 for the digit 0."""
    need(folder, tuple(FILES.values()), what="SVHN's cropped digits")
    arrays: Arrays = {}
    for part, name in FILES.items():
        content = _matlab(folder / name)
        x, y = content.get("X"), content.get("y")
        if not isinstance(x, np.ndarray) or x.ndim != 4 or x.shape[2] != 3 or x.dtype != np.uint8:
            got = f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else "none"
            raise damaged(folder / name, wanted="`X` of height × width × 3 × n bytes", got=got)
        if not isinstance(y, np.ndarray) or y.shape != (x.shape[3], 1) or not np.isin(y, np.arange(1, 11)).all():
            got = f"{y.dtype} of shape {y.shape}" if isinstance(y, np.ndarray) else "none"
            raise damaged(folder / name, wanted=f"`y` of {x.shape[3]} × 1 numbers from 1 to 10", got=got)
        arrays[f"{part}_x"] = x.transpose(3, 2, 0, 1)
        arrays[f"{part}_y"] = (y[:, 0] % 10).astype(np.uint8)
    return arrays


def _matlab(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError, matfile_version

    wanted = "a MATLAB file of version 5"
    try:
        major, _ = matfile_version(path)
        if major < HDF5:
            _check_sizes(path, whosmat(path))
        content = loadmat(path, variable_names=["X", "y"]) if major < HDF5 else None
    except (  # what the parser raises on damaged bytes
        *(MatReadError, OSError, EOFError, struct.error, zlib.error),
        *(LookupError, MemoryError, OverflowError, TypeError, ValueError),
    ) as error:
        raise damaged(path, wanted=wanted, got=error) from error
    if content is None:
        raise damaged(path, wanted=wanted, got="one of version 7.3, which is HDF5")
    return content


def _check_sizes(path: Path, variables: list[tuple[str, tuple[int, ...], str]]) -> None:
    """Refuse arrays that the file or memory cannot hold, before any room is made for them; raises ValueError."""
    for name, shape, _ in variables:
        size = math.prod(shape)
        if size > min(memory(), MOST_PACKED * path.stat().st_size):
            raise ValueError(f"{name} of shape {shape}, for which the file or the machine's memory is too small")


SVHN = Format(
    name="SVHN",
    looks_for="SVHN's train_32x32.mat and test_32x32.mat",
    recognises=lambda path: (path / "train_32x32.mat").is_file(),
    read=whole(read),
)
