"""The census table "Adult" as UCI publishes it: `adult.data` and `adult.test`, compressed or not.

Source: Becker and Kohavi 1996, https://archive.ics.uci.edu/dataset/2/adult (CC BY 4.0). All 14 attributes are inputs;
the labels of the test file end in a full stop, which is taken off.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Final

from obliviate.data.formats.base import Contents, Format, existing_file, find
from obliviate.data.formats.delimited import parse, read_text
from obliviate.data.formats.description import Description
from obliviate.data.formats.tabular import table_contents
from obliviate.data.tables import Table

COLUMNS: Final = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
)
DESCRIPTION: Final = Description(path=Path("adult.data"), target=("income",), metadata=("sex", "race"))


def read(folder: Path) -> Contents:
    """Read both files; whether the income is above 50,000 is the class."""
    paths = [find(folder, name) for name in ("adult.data", "adult.test")]
    train, test = map(_table, paths)
    return table_contents(train, test, DESCRIPTION)


def _table(path: Path) -> Table:
    """The rows; a line that begins with a bar is a remark."""
    lines = (line if not line.startswith("|") else "\n" for line in io.StringIO(read_text(path), newline=""))
    table = parse(lines, path.name, columns=COLUMNS)
    income = table.column("income")
    for row, cell in enumerate(income):
        income[row] = cell.removesuffix(".")
    return replace(table, columns={**table.columns, "income": income})


ADULT = Format(
    name="Adult",
    looks_for="UCI's adult.data and adult.test (or .xz, .gz)",
    recognises=lambda path: existing_file(path, "adult.data") is not None,
    read=lambda path, _: read(path),
)
