"""Tables in text files (CSV and TSV, compressed or not) and in Parquet files."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from obliviate._util.files import memory
from obliviate.data.formats.base import damaged
from obliviate.data.tables import Table
from obliviate.errors import DataError

OPENERS: Final[dict[str, Callable[..., Any]]] = {".gz": gzip.open, ".xz": lzma.open}
TAB: Final = "\t"
DELIMITERS: Final = (",", ";", TAB, "|")
HEAD: Final = 2**16  # signs that a delimiter is guessed from
LINES: Final = 50


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or with the mark of UTF-16, packed by gzip or xz or not.

    Raises DataError for damaged or other files.
    """
    try:
        content = unpacked(path)
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return content.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"expected text in UTF-8 in {path}, got a byte that is none ({error}); save it as UTF-8, with "
            "`iconv -f latin1 -t utf-8` if it is in Latin-1"
        ) from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise damaged(path, wanted="text in UTF-8", got=error) from error


def unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is packed by gzip or xz; raises DataError for more than memory has."""
    most = memory() // 8  # texts take several times their size as cells
    with OPENERS.get(path.suffix, open)(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"expected a text of at most {most:,} bytes, got more in {path}; split the file")
    return content


def suffix(path: Path) -> str:
    """Return the suffix that tells what a file holds, without that of its compression.

    >>> suffix(Path("people.csv.xz"))
    '.csv'
    """
    return path.with_suffix("").suffix if path.suffix in OPENERS else path.suffix


def read_table(path: Path, *, columns: Sequence[str] | None = None, delimiter: str | None = None) -> Table:
    """Read a table whose first line names the columns, unless `columns` does.

    Cells are separated by `delimiter`; without it by tabs in a file `*.tsv`, and by what `guessed` finds in others.
    Where tabs are said to separate them, or by the file's name, quotation marks stand for themselves. A file
    `*.parquet` is read with pyarrow. Raises DataError for lines of different lengths.
    """
    if suffix(path) == ".parquet":
        return _parquet(path)
    text = read_text(path)
    marks_stand_for_themselves = delimiter == TAB or (delimiter is None and suffix(path) == ".tsv")
    quoting = csv.QUOTE_NONE if marks_stand_for_themselves else csv.QUOTE_MINIMAL
    delimiter = delimiter or (TAB if suffix(path) == ".tsv" else guessed(text))
    return parse(io.StringIO(text, newline=""), path.name, columns=columns, delimiter=delimiter, quoting=quoting)


def guessed(text: str) -> str:
    """What separates the cells of a text: a comma, unless other signs make lines of one length of it and commas do not.

    >>> guessed("name;price\\na;1,5\\nb;2,5\\n"), guessed("name,price\\na,1\\n"), guessed("x\\n1\\n")
    (';', ',', ',')
    """
    head = "".join(text[:HEAD].splitlines(keepends=True)[:LINES])
    lengths: dict[str, set[int]] = {}
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter) if row]
        except csv.Error:
            continue
        rows = rows[:-1] if len(text) > len(head) and len(rows) > 1 else rows  # the last may be cut
        lengths[delimiter] = {len(row) for row in rows}
    fitting = {sign: max(widths) for sign, widths in lengths.items() if len(widths) == 1 and max(widths) > 1}
    if "," in fitting or not fitting:
        return ","
    return max(fitting, key=lambda sign: fitting[sign])


def parse(
    lines: Iterable[str],
    name: str,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL,
) -> Table:
    """Read lines of cells; spaces around a cell and empty lines are left out.

    >>> parse(["age, town\\n", "31, Rome\\n"], "people.csv").column("town").tolist()
    ['Rome']
    """
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, skipinitialspace=True, strict=True)
    names: list[str] | None = None if columns is None else list(columns)
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for row in reader:
            if not row:
                continue
            cells = [cell.strip() for cell in row]
            if names is None:
                names = cells
            elif len(cells) != len(names):
                raise DataError(
                    f"expected {len(names)} cells in every line of {name}, got {len(cells)} in line {reader.line_num}; "
                    "correct the line, or the delimiter"
                )
            else:
                rows.append(cells)
                numbers.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"expected cells between {delimiter!r} in {name}, got {error} in line {reader.line_num}; correct the line"
        ) from error
    if names is not None and len(set(names)) != len(names):
        twice = next(column for column in names if names.count(column) > 1)
        raise DataError(f"expected columns of different names in {name}, got {twice!r} twice; rename one")
    content = np.array(rows, dtype=object).reshape(len(rows), len(names or ()))
    return Table(dict(zip(names or (), content.T, strict=True)), np.array(numbers, dtype=np.int64), name)


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError(
            f"expected pyarrow for reading {path.name}, got none; install it with "
            "`pip install 'obliviate[tables]'`, or save the table as CSV"
        ) from error
    try:
        content = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise damaged(path, wanted="a Parquet table", got=error) from error
    columns = {
        name: np.array(["" if cell is None else str(cell) for cell in content.column(name).to_pylist()], dtype=object)
        for name in content.column_names
    }
    return Table(columns, np.arange(1, content.num_rows + 1), path.name)
