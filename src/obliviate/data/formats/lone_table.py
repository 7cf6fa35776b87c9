"""A table without a description: read where the names of its columns tell what is to be predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from obliviate.data.formats.base import Contents, Format
from obliviate.data.formats.delimited import TAB, guessed, read_table, read_text, suffix
from obliviate.data.formats.description import NAME, Description
from obliviate.data.formats.tabular import read_by_fitting, read_parts, table_contents
from obliviate.data.tables import Fitting, Table, number
from obliviate.errors import DataError

SUFFIXES: Final = (".csv", ".tsv", ".parquet")
TARGETS: Final = ("target", "label", "class", "y")
"""What a column of classes is called where nothing else says it, in small letters."""
MOST_CLASSES: Final = 20  # of numbers: more are values, of a regression perhaps


def table_of(path: Path) -> Path | None:
    """The table that a path is, or the only one in a folder; None where there is none, or several.

    >>> table_of(Path("nowhere"))
    """
    if path.is_file():
        return path if suffix(path) in SUFFIXES else None
    tables = [file for file in sorted(path.iterdir()) if table_of(file) is not None] if path.is_dir() else []
    tables = [file for file in tables if file.is_file()]
    return tables[0] if len(tables) == 1 else None


def read(path: Path, seed: int) -> Contents:
    """Read a table whose classes stand in a column that is called so; raises DataError with a description if not."""
    file = table_of(path)
    assert file is not None
    delimiter = None if suffix(file) == ".parquet" else (TAB if suffix(file) == ".tsv" else guessed(read_text(file)))
    table = read_table(file)
    named = [name for name in table.columns if name.strip().lower() in TARGETS]
    if len(named) != 1 or not _are_classes(table, named[0]):
        draft = _draft(file, table, delimiter, named)
        raise DataError(
            f"expected a column of classes called {', '.join(TARGETS)} in {file.name}, got {', '.join(table.columns)}; "
            f"say which column is to be predicted, in a file {NAME}, and name that in place of the table:\n\n{draft}"
        )
    description = Description(path=file, target=(named[0],))
    train, test, notes = read_parts(description, seed)
    contents = table_contents(train, test, description)
    taken = (
        f"column {named[0]!r} of {file.name} is taken for the classes to predict; a file {NAME} beside it can say else"
    )
    return replace(contents, notes=(taken, *contents.notes, *notes))


def read_by(path: Path, fitting: Fitting) -> Contents:
    """Read the rows that are left of a table by a fitting of before, from the column that is called as classes are."""
    file = table_of(path)
    assert file is not None
    named = [name for name in read_table(file).columns if name.strip().lower() in TARGETS]
    return read_by_fitting(Description(path=file, target=tuple(named)), fitting)


def _are_classes(table: Table, name: str) -> bool:
    """Whether cells are words or a few numbers, and each of several rows."""
    cells = set(table.column(name).tolist())
    if not 2 <= len(cells) <= max(2, len(table) // 2):
        return False
    return len(cells) <= MOST_CLASSES or not all(map(_is_number, cells))


def _is_number(cell: str) -> bool:
    try:
        number(cell, column="", line=0, where="")
    except DataError:
        return False
    return True


def _draft(file: Path, table: Table, delimiter: str | None, named: list[str]) -> str:
    """The lines of a description, to be completed."""
    target = named[0] if named else list(table.columns)[-1]
    cells = set(table.column(target).tolist())
    lines = [f'path = "{file.name}"', f'target = "{target}"']
    lines[-1] += "" if named else "  # or another column"
    if delimiter not in {None, ","} and suffix(file) != ".tsv":
        lines.append("delimiter = " + ('"\\t"' if delimiter == TAB else f'"{delimiter}"'))
    if len(cells) > MOST_CLASSES and all(map(_is_number, cells)):
        lines.append('kind = "regression"')
    return "\n".join(lines)


LONE_TABLE = Format(
    name="a table",
    looks_for="a single table *.csv, *.tsv or *.parquet with a column `target`, `label`, `class` or `y`",
    recognises=lambda path: table_of(path) is not None,
    read=read,
    read_by=read_by,
)
