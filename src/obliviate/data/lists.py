"""Lists of names in files, as spreadsheets and databases write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Final

from obliviate.data.lookup import spelling
from obliviate.errors import DataError

MOST_BYTES: Final = 2**28
DELIMITERS: Final = ("\t", ";", ",")
WORKBOOKS: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods", ".numbers"})
PACKED: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how workbooks begin, whatever they are called
MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_names(reference: str, *, known: Container[str], headings: Sequence[str]) -> list[str]:
    """Read the names in "FILE", one a line, or in "FILE:COLUMN", a column of a table with a heading.

    Read are UTF-8 and, with its mark, UTF-16; any end of line; quotes; cells between commas, semicolons or tabs. Of a
    table without a named column it is the one of these `headings`. A line that is `known` as a whole is a name,
    whatever is in it. Raises DataError for a file that is missing, a workbook, no text, or a table whose column is not
    named.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "people.csv"
    ...     _ = path.write_bytes(b'\\xef\\xbb\\xbfname;id\\r\\n"Ann";17\\r\\nBob;18\\r\\n')
    ...     read_names(f"{path}:name", known=(), headings=()), read_names(str(path), known=(), headings=["id"])
    (['Ann', 'Bob'], ['17', '18'])
    """
    path, column = located(reference)
    lines = [line for line in re.split(r"\r\n|\r|\n", _text(path)) if line.strip(" \t;,\"'\xa0")]
    if lines and re.fullmatch(r"sep=.", lines[0].strip()):  # a hint that spreadsheets write for themselves
        del lines[0]
    if not lines:
        raise DataError(f"expected names in {path.name}, got none; write one a line")
    if column is None and (len(lines) == 1 or any(_unquoted(line) in known for line in lines[1:])):
        return [_single(line, known) for line in lines]
    delimiter = next((mark for mark in DELIMITERS if len(_cells(lines[0], mark)) > 1), None)
    if column is None and (delimiter is None or _unquoted(lines[0]) in known):
        return [_single(line, known) for line in lines]
    return _column(path, lines, delimiter or ",", column, headings)


def located(reference: str) -> tuple[Path, str | None]:
    """The file, and the column that is named after it."""
    path, colon, column = reference.rpartition(":")
    try:
        whole = not colon or Path(reference).exists() or not Path(path).exists()
    except (OSError, ValueError):  # a name that no file can have
        whole = True
    return (Path(reference), None) if whole else (Path(path), column)


def _text(path: Path) -> str:
    expected = "expected a text file with one id or name a line"
    workbook = DataError(
        f"{expected}, got a workbook or another packed file, {path.name}; save the sheet as CSV (“CSV UTF-8”) and "
        "name that file, with :COLUMN behind it if it has several columns"
    )
    if path.suffix.lower() in WORKBOOKS:
        raise workbook
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{expected}, got {path.name} of more than {MOST_BYTES:,} bytes; name another file")
        content = path.read_bytes()
        if content.startswith(PACKED):
            raise workbook
        encoding = next((encoding for mark, encoding in MARKS.items() if content.startswith(mark)), "utf-8")
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{expected} in UTF-8, got {path.name} ({error}); save it as “CSV UTF-8”") from error
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{expected}, got {str(path)!r:.300} ({reason}); check it") from error
    if "\0" in text:
        raise DataError(f"{expected}, got {path.name} with NULs in it; save it as “CSV UTF-8”")
    return text


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line that are not empty."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip() for cell in cells if cell.strip()]


def _unquoted(line: str) -> str:
    text = line.strip()
    return text[1:-1].replace('""', '"').strip() if len(text) > 1 and text[0] == text[-1] == '"' else text


def _single(line: str, known: Container[str]) -> str:
    """The one name of a line, without quotes and without the marks of empty cells behind it."""
    if line.strip() in known:
        return line.strip()
    for delimiter in DELIMITERS:
        if len(cells := _cells(line, delimiter)) == 1 and _unquoted(line) not in known:
            line = cells[0]
    return _unquoted(line)


def _column(path: Path, lines: list[str], delimiter: str, column: str | None, headings: Sequence[str]) -> list[str]:
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"expected a table in {path.name}, got {error}; save it as “CSV UTF-8”") from error
    names = [spelling(cell).casefold() for cell in rows[0]]
    wanted = {spelling(name).casefold() for name in (headings if column is None else [column])}
    places = [place for place, name in enumerate(names) if name in wanted]
    if len(places) != 1:
        called = f"{column!r}, which {len(places)} of its {len(names)} columns are called"
        got = f"{len(names)} columns" if column is None else called
        raise DataError(f"expected one column of {path.name}, got {got}; name it after the file, as in @FILE:COLUMN")
    cells = [row[places[0]].strip() for row in rows[1:] if len(row) > places[0]]
    if not any(cells):
        raise DataError(f"expected names in a column of {path.name}, got empty cells alone; name another column")
    return [cell for cell in cells if cell]
