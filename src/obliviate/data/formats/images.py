"""Image files, through Pillow."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from obliviate.data.formats.base import damaged
from obliviate.errors import DataError

BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
)
"""What Pillow raises of damaged files."""
GREY = frozenset({"1", "L", "LA"})
DEEPER = frozenset({"I", "F"})  # and I;16 in its byte orders: more than a byte a channel


def pillow() -> Any:
    """Import Pillow; raises DataError where it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            "expected Pillow for reading image files, got none; install it with `pip install 'obliviate[images]'`"
        ) from error
    return Image


@contextmanager
def _opened(library: Any, path: Path) -> Iterator[Any]:
    """Open an image, with a size that Pillow warns of as an error: it may unpack to far more than the file holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", library.DecompressionBombWarning)
        try:
            image = library.open(path)
        except library.DecompressionBombWarning as error:
            raise library.DecompressionBombError(str(error)) from error
    with image:
        yield image


def header(path: Path) -> tuple[int, int, bool]:
    """Return height, width and whether the image is grey, without decoding it."""
    library = pillow()
    try:
        with _opened(library, path) as image:
            if image.mode.partition(";")[0] in DEEPER:
                raise DataError(
                    f"expected images of 8 bits a channel, got {path} of mode {image.mode}; convert it, or store the "
                    "data as a .npz file"
                )
            return image.height, image.width, image.mode in GREY
    except DataError:
        raise
    except (*BROKEN, library.DecompressionBombError) as error:
        raise damaged(path, wanted="an image", got=error) from error


def decode(path: Path, *, grey: bool) -> UInt8[np.ndarray, "height width *channels"]:
    """Return the pixels, "height width" if grey and "height width 3" if not; transparency is left out."""
    library = pillow()
    try:
        with _opened(library, path) as image:
            return np.asarray(image.convert("L" if grey else "RGB"))
    except (*BROKEN, library.DecompressionBombError) as error:
        raise damaged(path, wanted="an image", got=error) from error
