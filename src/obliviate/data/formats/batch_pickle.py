"""Reading a pickle of plain values and byte arrays without running anything that it names.

A pickle is a program: it may call any function that it can import. This reader imports nothing. The few names that
numpy writes for an array are answered with an inert record of what was passed to them, and every other name is refused.
"""

from __future__ import annotations

import io
import math
import pickle  # only through `_Reader`, which imports nothing
import pickletools
from pathlib import Path
from typing import Any, Final

import numpy as np

from obliviate.data.formats.base import damaged

_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
KNOWN: Final = frozenset({("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}) | {
    (core, "_reconstruct") for core in _CORES
}


class _Recorded:
    """What a pickle passed to a name that it imported; nothing is done with it."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"a call of {module}.{name}, which plain data do not need")
        return _Recorded


def read_pickle(path: Path) -> dict[str, Any]:
    """Return the dictionary in `path`, its keys as text, its arrays as unsigned bytes.

    Written by Python 2 or 3. Raises DataError for anything but lists, texts, numbers and arrays of bytes.
    """
    wanted = "a pickled dictionary of lists and byte arrays"
    try:
        stream = path.read_bytes()
        _check_memory(stream)
        content = _Reader(io.BytesIO(stream), encoding="bytes").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"{type(content).__name__} in the place of a dictionary")
        return {_text(key): _plain(value) for key, value in content.items()}
    except (
        *(pickle.UnpicklingError, OSError, EOFError, MemoryError, OverflowError),
        *(AttributeError, ImportError, LookupError, TypeError, ValueError),
    ) as error:
        raise damaged(path, wanted=wanted, got=error) from error


def _check_memory(stream: bytes) -> None:
    """Refuse a stream that would have tables made that are larger than itself."""
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name.endswith("PUT") and int(argument or 0) > len(stream):
            raise pickle.UnpicklingError(f"a table of {argument} entries for {len(stream)} bytes")


def _text(key: object) -> str:
    return key if isinstance(key, str) else _bytes(key).decode("ascii")


def _plain(value: object) -> object:
    """Make an array of the record of one; lists and texts stay as they are."""
    if not isinstance(value, _Recorded):
        return value
    match value.state:
        case (int(), tuple(shape), _Recorded(arguments=(kind, *_)), _ as by_columns, raw):
            if _text(kind) not in {"u1", "|u1"}:
                raise pickle.UnpicklingError(f"an array of type {_text(kind)}")
            content = _bytes(raw)
            if math.prod(shape) != len(content):
                raise pickle.UnpicklingError(f"an array of shape {shape} in {len(content)} bytes")
            return np.frombuffer(content, dtype=np.uint8).reshape(shape, order="F" if by_columns else "C")
        case _:
            raise pickle.UnpicklingError("an object that is not an array of bytes")


def _bytes(raw: object) -> bytes:
    """Bytes as Python 2 wrote them, or as Python 3 writes them for Python 2: text to be encoded as Latin-1."""
    match raw:
        case bytes():
            return raw
        case _Recorded(arguments=(str(text), *_)):
            return text.encode("latin-1")
        case _:
            raise pickle.UnpicklingError(f"{type(raw).__name__} in the place of bytes")
