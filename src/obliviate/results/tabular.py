"""Results that show themselves: in a few lines of text, in a notebook, as a frame of pandas, and as CSV."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from obliviate._util.files import write_atomically
from obliviate.errors import ReportError

Record: TypeAlias = dict[str, str | int | float | None]
"""A row of plain values by the names of their columns, None for what is not known."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is shown to people: heads, rows of texts, of which the first and the last column are words, and lines below.

    >>> print(Table(heads=("model", "test %"), rows=(("original", "97.5"),), notes=("One seed.",)))
    model     test %
    original  97.5
    <BLANKLINE>
    One seed.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.heads, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.heads))]
        numbers = range(1, len(self.heads) - 1)
        laid_out = [
            "  ".join(
                cell.rjust(width) if column in numbers else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        laid_out = laid_out if self.heads else []
        return "\n".join([*laid_out, *([""] if laid_out and self.notes else []), *self.notes])

    def html(self) -> str:
        """The table as HTML, without a script or a style sheet; every text is escaped."""

        def line(cells: Sequence[str], tag: str) -> str:
            last = len(cells) - 1
            aligned = ["left" if column in {0, last} else "right" for column in range(len(cells))]
            return "".join(
                f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
                for side, cell in zip(aligned, cells, strict=True)
            )

        below = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        if not self.heads:
            return below
        body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        return f"<table><thead><tr>{line(self.heads, 'th')}</tr></thead><tbody>{body}</tbody></table>{below}"


class Tabular(ABC):
    """Results that are a table: `print` shows it, notebooks too, and `to_frame` and `to_csv` hand it on.

    `keys` are the columns that name a row.
    """

    keys: ClassVar[tuple[str, ...]] = ("model",)

    @abstractmethod
    def records(self) -> list[Record]:
        """The rows as plain values, unrounded, one dictionary a row with the same keys in each."""

    @abstractmethod
    def table(self) -> Table:
        """What is shown."""

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table().html()

    def figures(self) -> dict[str, float]:
        """All numbers by name, "row/column", for an experiment tracker; what is not known is left out."""
        return {
            "/".join([*(str(row[key]) for key in self.keys), column]): float(value)
            for row in self.records()
            for column, value in row.items()
            if column not in self.keys and isinstance(value, int | float)
        }

    def to_frame(self) -> Any:
        """The rows as a `pandas.DataFrame`, with the columns that name them as columns too.

        Raises ReportError where pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            raise ReportError(
                "expected the package pandas for a frame, got none; install it with `pip install 'obliviate[pandas]'`, "
                "or use `to_csv` or `records`"
            ) from error
        return pandas.DataFrame.from_records(self.records())

    def to_csv(self, path: Path | str | None = None) -> str:
        """The rows as CSV with a line of heads, empty where nothing is known; written to `path` too, in one step."""
        rows, stream = self.records(), io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = stream.getvalue()
        if path is not None:
            write_atomically(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return text
