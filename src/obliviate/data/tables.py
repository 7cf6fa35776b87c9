"""Tables of cells, and how their rows become numbers that a model can take."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from obliviate.data.content import HASH_LENGTH
from obliviate.data.features import Features
from obliviate.data.ids import distinct
from obliviate.errors import DataError
from obliviate.types import Ids

MISSING: Final = ("", "?")
MOST_CATEGORIES: Final = 1000

Unseen = Literal["refuse", "ignore"]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of cells as they were written, with the number of the line that each row stands in.

    `name` is what an error calls the table. Raises DataError for columns of different lengths, or none.

    >>> table = Table({"age": np.array(["31", "47"], dtype=object)}, lines=np.array([2, 3]), name="people.csv")
    >>> table.take(np.array([1])).column("age").tolist()
    ['47']
    """

    columns: Mapping[str, Shaped[np.ndarray, " _"]]
    lines: Int[np.ndarray, " n"]
    name: str

    def __post_init__(self) -> None:
        if len(self.lines) == 0 or not self.columns:
            raise DataError(f"expected rows in {self.name}, got none; check how the file was made")
        for name, cells in self.columns.items():
            if len(cells) != len(self):
                raise DataError(
                    f"expected {len(self)} cells in column {name!r} of {self.name}, got {len(cells)}; align them"
                )

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Shaped[np.ndarray, " n"]:
        """Return the cells of one column; raises DataError for a name that the table does not have."""
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise DataError(f"expected a column of {self.name} ({known}), got {name!r}; correct the name")
        return self.columns[name]

    def take(self, rows: Int[np.ndarray, " rows"]) -> Table:
        """Keep these rows, in this order."""
        return Table({name: cells[rows] for name, cells in self.columns.items()}, self.lines[rows], self.name)

    def without(self, names: Iterable[str]) -> Table:
        """Keep all columns but these; raises DataError for a name that the table does not have, or if none is left."""
        left_out = set(names)
        for name in left_out:
            self.column(name)
        return Table(
            {name: cells for name, cells in self.columns.items() if name not in left_out}, self.lines, self.name
        )

    def ids(self) -> Ids:
        """Return a stable id for each row: the hash of its cells, copies numbered."""
        rows = zip(*self.columns.values(), strict=True)
        return distinct(hashlib.sha256("\x1f".join(row).encode()).hexdigest()[:HASH_LENGTH] for row in rows)


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers, standardised; what is missing becomes the mean."""

    name: str
    mean: float
    std: float

    @property
    def features(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories, one feature each; what is missing is a category too if a training row lacks it."""

    name: str
    categories: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={category}" for category in self.categories)


@dataclass(frozen=True, eq=False)
class TableEncoder:
    """Turns rows into vectors, by what was seen in the training rows only.

    A column is one of numbers if every training cell that is not missing is a finite number; it is standardised, and
    missing numbers become the mean. Any other column is one-hot, what is missing being a category "(missing)".

    >>> cells = {"age": ["20", "40"], "town": ["Rome", "Oslo"]}
    >>> columns = {name: np.array(column, dtype=object) for name, column in cells.items()}
    >>> rows = Table(columns, np.array([2, 3]), "people.csv")
    >>> encoder = TableEncoder.fit(rows)
    >>> encoder.features.names
    ('age', 'town=Oslo', 'town=Rome')
    >>> encoder.encode(rows).tolist()
    [[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """

    columns: tuple[NumberColumn | CategoryColumn, ...]
    features: Features
    notes: tuple[str, ...]
    missing: tuple[str, ...] = MISSING
    unseen_categories: Unseen = "refuse"

    @classmethod
    def fit(
        cls,
        table: Table,
        *,
        categorical: Sequence[str] = (),
        missing: Sequence[str] = MISSING,
        unseen_categories: Unseen = "refuse",
    ) -> TableEncoder:
        """Learn means, deviations and categories; columns named `categorical` are not numbers, whatever they hold.

        Columns that have the same value in every row are left out; `notes` say which, and where numbers are missing.
        With `unseen_categories="ignore"`, a category that no training row has becomes zeros; otherwise it is refused.
        Raises DataError for a column of more than 1,000 categories, or if no column is left.
        """
        for name in categorical:
            table.column(name)
        columns: list[NumberColumn | CategoryColumn] = []
        constant, gaps = [], []
        for name, cells in table.columns.items():
            given = [cell for cell in cells if cell not in missing]
            numbers = None if name in categorical else _numbers(given)
            if len(set(given)) + (len(given) < len(cells) and numbers is None) <= 1 or (
                numbers is not None and float(np.std(numbers)) == 0
            ):
                constant.append(name)
            elif numbers is not None:
                columns.append(NumberColumn(name, float(np.mean(numbers)), float(np.std(numbers))))
                if len(given) < len(cells):
                    gaps.append(f"{name} ({len(cells) - len(given)} of {len(cells)})")
            else:
                columns.append(_categories(name, cells, missing, table.name))
        if not columns:
            raise DataError(f"expected columns that differ between rows of {table.name}, got none; check the file")
        notes = []
        if constant:
            notes.append(f"columns that are the same in every training row are left out: {', '.join(constant)}")
        if gaps:
            notes.append(f"missing numbers of the training rows stand at the mean: {', '.join(gaps)}")
        names = tuple(name for column in columns for name in column.features)
        continuous = np.array([isinstance(column, NumberColumn) for column in columns for _ in column.features])
        blank = np.zeros(len(names), dtype=np.float32)
        settings = (tuple(missing), unseen_categories)
        x = cls(tuple(columns), Features(names, continuous, blank, blank), (), *settings).encode(table)
        return cls(tuple(columns), Features(names, continuous, x.min(0), x.max(0)), tuple(notes), *settings)

    def encode(self, table: Table) -> Float32[np.ndarray, "n d"]:
        """Return one row of features each; raises DataError, naming line and column, for cells that do not fit."""
        x = np.zeros((len(table), len(self.features)), dtype=np.float32)
        start = 0
        for column in self.columns:
            cells, width = table.column(column.name), len(column.features)
            if isinstance(column, NumberColumn):
                x[:, start] = self._standardised(column, cells, table)
            else:
                places = self._places(column, cells, table)
                known = np.flatnonzero(places >= 0)
                x[known, start + places[known]] = 1
            start += width
        return x

    def _standardised(
        self, column: NumberColumn, cells: Shaped[np.ndarray, " n"], table: Table
    ) -> Float[np.ndarray, " n"]:
        values = np.full(len(cells), column.mean)
        for row, cell in enumerate(cells):
            if cell not in self.missing:
                values[row] = number(cell, column=column.name, line=int(table.lines[row]), where=table.name)
        return (values - column.mean) / column.std

    def _places(self, column: CategoryColumn, cells: Shaped[np.ndarray, " n"], table: Table) -> Int[np.ndarray, " n"]:
        known = {category: place for place, category in enumerate(column.categories)}
        named = [LACKING if cell in self.missing else cell for cell in cells]
        places = np.array([known.get(category, -1) for category in named])
        if self.unseen_categories == "refuse" and len(unseen := np.flatnonzero(places < 0)):
            row = int(unseen[0])
            raise DataError(
                f"expected a category of {column.name!r} that a training row has, got {named[row]!r} in line "
                f'{table.lines[row]} of {table.name}; correct it, or set unseen_categories = "ignore" to have zeros'
            )
        return places


LACKING: Final = "(missing)"


def number(cell: str, *, column: str, line: int, where: str) -> float:
    """Read a cell as a finite number; raises DataError that names its line and column.

    >>> number("1e3", column="income", line=2, where="people.csv")
    1000.0
    """
    value = _number(cell)
    if value is None:
        raise DataError(
            f"expected a finite number in column {column!r}, got {cell!r} in line {line} of {where}; correct it, name "
            "it as missing, or name the column as categorical"
        )
    return value


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _numbers(cells: list[str]) -> list[float] | None:
    """The cells as numbers, None where one of them is none."""
    values: list[float] = []
    for cell in cells:
        if (value := _number(cell)) is None:
            return None
        values.append(value)
    return values


def _categories(name: str, cells: Shaped[np.ndarray, " n"], missing: Sequence[str], where: str) -> CategoryColumn:
    categories = sorted({LACKING if cell in missing else cell for cell in cells})
    if len(categories) > MOST_CATEGORIES:
        words = Counter(cell for cell in cells if cell not in missing and _number(cell) is None)
        example = min(words, key=lambda word: (-words[word], word)) if words else categories[0]
        raise DataError(
            f"expected numbers, or {MOST_CATEGORIES} categories at most, got {len(categories)} different "
            f"cells such as {example!r} in {name!r} of {where}; drop the column, or name this cell as missing"
        )
    return CategoryColumn(name, tuple(categories))
