"""The formats that data come in: one per file. Each gives the arrays that a `.npz` file would hold."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from obliviate.data.formats.adult import ADULT
from obliviate.data.formats.base import Format
from obliviate.data.formats.cifar import CIFAR_BINARY, CIFAR_PYTHON
from obliviate.data.formats.described import DESCRIBED
from obliviate.data.formats.folder import FOLDER
from obliviate.data.formats.idx import IDX
from obliviate.data.formats.lone_table import LONE_TABLE
from obliviate.data.formats.mosaic import MOSAIC
from obliviate.data.formats.newsgroups import NEWSGROUPS
from obliviate.data.formats.npy import NPY
from obliviate.data.formats.npz import NPZ
from obliviate.data.formats.plain_text import PLAIN_TEXT
from obliviate.data.formats.svhn import SVHN
from obliviate.data.formats.texts import SMS
from obliviate.errors import DataError

FORMATS: Final[tuple[Format, ...]] = (
    *(DESCRIBED, NPZ, NPY, IDX, CIFAR_PYTHON, CIFAR_BINARY, MOSAIC, SVHN, FOLDER),
    *(ADULT, NEWSGROUPS, SMS, PLAIN_TEXT),
)


def recognise(path: Path) -> Format:
    """Find the one format whose files are there, by their names; raises DataError for none or several.

    A description by the user comes first, whatever lies beside it.
    """
    try:
        if DESCRIBED.recognises(path):
            return DESCRIBED
        matching = [candidate for candidate in FORMATS if candidate.recognises(path)]
        if not matching and LONE_TABLE.recognises(path):  # beside other data, a table may say anything
            return LONE_TABLE
    except OSError as error:
        raise DataError(f"expected a path that can be read, got {error}; check its name and its permissions") from error
    if len(matching) > 1:
        names = ", ".join(candidate.name for candidate in matching)
        raise DataError(
            f"expected one data set in {path}, got files of several formats ({names}); give each a folder of its own"
        )
    if not matching and path.is_dir():
        wanted = " or ".join(candidate.looks_for for candidate in (*FORMATS, LONE_TABLE))
        raise DataError(f"expected {wanted} in {path}, got a folder without any of these; see docs/data.md")
    if not matching:
        got = "another file" if path.exists() else "no such path"
        raise DataError(
            f"expected a shipped set, a .npz, .csv, .toml or .txt file or a folder of data, got {str(path)!r} ({got}); "
            "see docs/data.md"
        )
    return matching[0]
