"""Samples as pictures inside the page: PNG files written as text, with the standard library only."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float

from obliviate.errors import ReportError

SHOWN: Final = 10  # worst samples of a model that the page shows
LARGEST: Final = 96  # pixels a side; larger pictures are averaged down

_COLOUR: Final = {1: 0, 3: 2}  # channels → colour type (PNG specification, section 11.2.2)


def is_picture(shape: Sequence[int]) -> bool:
    """Whether an input of this shape can be shown: (h, w), (1, h, w) or (3, h, w), each side 2 or more.

    >>> is_picture((3, 32, 32)), is_picture((6,))
    (True, False)
    """
    sides = shape[-2:]
    return len(shape) in (2, 3) and min(sides) > 1 and (len(shape) == 2 or shape[0] in _COLOUR)


def data_uri(image: Float[np.ndarray, ...]) -> str:
    """A picture as `data:image/png;base64,…`: (h, w) or (1, h, w) in grey, (3, h, w) in red, green and blue, in [0, 1].

    Values outside [0, 1] are cut. A side of more than 96 pixels is averaged down by a whole factor. Equal pictures give
    equal text. Raises ReportError for other shapes and for values that are not finite.

    >>> data_uri(np.zeros((2, 2)))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    if not is_picture(image.shape) or not np.isfinite(image).all():
        raise ReportError(
            f"expected a finite picture of shape (h, w), (1, h, w) or (3, h, w), got {image.shape}; leave it out"
        )
    planes = image[None] if image.ndim == 2 else image
    pixels = np.rint(255 * _reduced(planes.astype(np.float64)).clip(0, 1)).astype(np.uint8)
    channels, height, width = pixels.shape
    lines = pixels.transpose(1, 2, 0).reshape(height, width * channels)
    scanlines = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1)  # each begins with "no filter"
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR[channels], 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(scanlines.tobytes(), 9)), (b"IEND", b"")
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _reduced(planes: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "c small_h small_w"]:
    """Block means, with the last rows and columns repeated to fill the last block."""
    factor = -(-max(planes.shape[1:]) // LARGEST)
    if factor == 1:
        return planes
    filled = np.pad(planes, ((0, 0), *((0, -side % factor) for side in planes.shape[1:])), mode="edge")
    channels, height, width = filled.shape
    return filled.reshape(channels, height // factor, factor, width // factor, factor).mean(axis=(2, 4))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
