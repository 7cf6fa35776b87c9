"""Tables of cells, and how their rows become numbers that a model can take."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from obliviate.data.content import HASH_LENGTH
from obliviate.data.dates import are_dates
from obliviate.data.features import Features, Targets
from obliviate.data.ids import distinct
from obliviate.errors import DataError
from obliviate.types import Ids

MISSING: Final = ("", "?")
WORDS: Final = frozenset(
    {"na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none", "nil", "missing", "-", "--", "."}
)
"""What people write in a column of numbers where there is none, in small letters; read so unless `missing` is given."""
MOST_CATEGORIES: Final = 1000
MOST_DATES: Final = 20  # different ones that a column may have as categories
NEARLY: Final = 0.75  # of cells that are numbers make those that are none look like mistakes
ENOUGH: Final = 10  # different numbers that make a column one of numbers
ROWS: Final = 20  # that make it telling that no two cells of a column are alike
INDEX: Final = re.compile(r"(Unnamed: \d+)?")  # what pandas calls the row numbers that it has written
COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?")

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
            columns = ", ".join(self.columns)
            raise DataError(f"expected a column of {self.name} ({columns}), got {name!r}; correct the name")
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

    def with_points(self) -> Table:
        """Write numbers with a decimal comma, "1.234,5", with a point, "1234.5"; all other cells stay.

        >>> table = Table({"price": np.array(["1.234,5", "cheap"], dtype=object)}, np.array([2, 3]), "goods.csv")
        >>> table.with_points().column("price").tolist()
        ['1234.5', 'cheap']
        """
        columns = {
            name: np.array(
                [cell.replace(".", "").replace(",", ".") if COMMA.fullmatch(cell) else cell for cell in cells],
                dtype=object,
            )
            for name, cells in self.columns.items()
        }
        return Table(columns, self.lines, self.name)

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
    Where `missing` is not given, usual words for it (`WORDS`) are read so in columns of numbers.

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

        Columns that have the same value in every row are left out; `notes` say which, where numbers are missing, and
        which columns seem to count or to name the rows.
        With `unseen_categories="ignore"`, a category that no training row has becomes zeros; otherwise it is refused.
        Raises DataError for a column of more than 1,000 categories, one of texts of which no two are alike, one of
        dates, and one of numbers with a few other cells, unless it is named `categorical`; and if no column is left.
        """
        for name in categorical:
            table.column(name)
        columns: list[NumberColumn | CategoryColumn] = []
        constant, gaps, counting = [], [], []
        for name, cells in table.columns.items():
            present = [cell for cell in cells if cell not in missing]
            numbers = None
            if name not in categorical:
                present, numbers = _as_numbers(present, missing)
            if numbers is None and name not in categorical:
                _refuse_odd(name, cells, missing, table)
            if len(set(present)) + (len(present) < len(cells) and numbers is None) <= 1 or (
                numbers is not None and float(np.std(numbers)) == 0
            ):
                constant.append(name)
            elif numbers is not None:
                columns.append(NumberColumn(name, float(np.mean(numbers)), float(np.std(numbers))))
                if _counts_rows(name, present, len(cells)):
                    counting.append(repr(name))
                if len(present) < len(cells):
                    gaps.append(f"{name} ({len(cells) - len(present)} of {len(cells)})")
            else:
                columns.append(_categories(name, cells, missing, table.name))
        if not columns:
            raise DataError(f"expected columns that differ between rows of {table.name}, got none; check the file")
        notes = _notes(constant, counting, gaps)
        names = tuple(name for column in columns for name in column.features)
        continuous = np.array([isinstance(column, NumberColumn) for column in columns for _ in column.features])
        blank = np.zeros(len(names), dtype=np.float32)
        settings = (tuple(missing), unseen_categories)
        x = cls(tuple(columns), Features(names, continuous, blank, blank), (), *settings).encode(table)
        return cls(tuple(columns), Features(names, continuous, x.min(0), x.max(0)), notes, *settings)

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
                rows = np.flatnonzero(places >= 0)
                x[rows, start + places[rows]] = 1
            start += width
        return x

    def _standardised(
        self, column: NumberColumn, cells: Shaped[np.ndarray, " n"], table: Table
    ) -> Float[np.ndarray, " n"]:
        values = np.full(len(cells), column.mean)
        for row, cell in enumerate(cells):
            if cell not in self.missing and not _is_word(cell, self.missing):
                values[row] = number(cell, column=column.name, line=int(table.lines[row]), where=table.name)
        return (values - column.mean) / column.std

    def _places(self, column: CategoryColumn, cells: Shaped[np.ndarray, " n"], table: Table) -> Int[np.ndarray, " n"]:
        numbers = {category: place for place, category in enumerate(column.categories)}
        named = [LACKING if cell in self.missing else cell for cell in cells]
        places = np.array([numbers.get(category, -1) for category in named])
        if self.unseen_categories == "refuse" and len(unseen := np.flatnonzero(places < 0)):
            row = int(unseen[0])
            raise DataError(
                f"expected a category of {column.name!r} that a training row has, got {named[row]!r} in line "
                f'{table.lines[row]} of {table.name}; correct it, or set unseen_categories = "ignore" to have zeros'
            )
        return places


LACKING: Final = "(missing)"


@dataclass(frozen=True, eq=False)
class Fitting:
    """How the rows of a table became numbers, inputs and targets, so that fewer rows can become the same ones.

    >>> rows = Table({"age": np.array(["20", "40"], dtype=object)}, np.array([2, 3]), "people.csv")
    >>> fitting = Fitting(TableEncoder.fit(rows), Targets(("no", "yes")))
    >>> Fitting.from_dict(fitting.to_dict()).encoder.encode(rows).tolist()
    [[-1.0], [1.0]]
    """

    encoder: TableEncoder
    targets: Targets

    def to_dict(self) -> dict[str, Any]:
        """The fitting in JSON values, which lose nothing."""
        encoder = self.encoder
        return {
            "columns": [dict(vars(column)) for column in encoder.columns],
            "features": encoder.features.to_dict(),
            "missing": list(encoder.missing),
            "unseen_categories": encoder.unseen_categories,
            "targets": self.targets.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fitting:
        """Read what `to_dict` returned."""
        columns = tuple(
            CategoryColumn(column["name"], tuple(column["categories"]))
            if "categories" in column
            else NumberColumn(**column)
            for column in values["columns"]
        )
        features = values["features"]
        encoder = TableEncoder(
            columns,
            Features(
                tuple(features["names"]),
                np.array(features["continuous"], dtype=np.bool_),
                np.array(features["low"], dtype=np.float32),
                np.array(features["high"], dtype=np.float32),
            ),
            (),
            tuple(values["missing"]),
            values["unseen_categories"],
        )
        return cls(encoder, Targets.from_dict(values["targets"]))


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


def _notes(constant: Sequence[str], counting: Sequence[str], gaps: Sequence[str]) -> tuple[str, ...]:
    """Say which columns are left out, which seem to say nothing, and where numbers are missing."""
    notes = []
    if constant:
        notes.append(f"columns that are the same in every training row are left out: {', '.join(constant)}")
    if counting:
        notes.append(
            f"columns that seem to count or name the rows are inputs: {', '.join(counting)}; list them under "
            "`drop`, or one as `id`, in the data.toml"
        )
    if gaps:
        notes.append(f"missing numbers of the training rows stand at the mean: {', '.join(gaps)}")
    return tuple(notes)


def _as_numbers(cells: list[str], missing: Sequence[str]) -> tuple[list[str], list[float] | None]:
    """The cells of a column that say something, and their numbers; None where they are none."""
    numeric = [cell for cell in cells if not _is_word(cell, missing)]
    numbers = _numbers(numeric)
    if cells and not numeric:  # of words alone, which may be categories
        return cells, None
    return (cells, None) if numbers is None else (numeric, numbers)


def _is_word(cell: str, missing: Sequence[str]) -> bool:
    """Whether a cell among numbers says that there is none; where `missing` is given, only that decides."""
    return tuple(missing) == MISSING and cell.lower() in WORDS


def _counts_rows(name: str, cells: Sequence[str], rows: int) -> bool:
    """Whether a column of numbers seems to be a row number of pandas, or another name of each row."""
    if INDEX.fullmatch(name):
        return True
    return rows >= ROWS and len(set(cells)) == rows and all(cell.isdecimal() for cell in cells)


def _refuse_odd(name: str, cells: Shaped[np.ndarray, " n"], missing: Sequence[str], table: Table) -> None:
    """Refuse columns that look like something else than categories, though not every cell is a number."""
    present = [cell for cell in cells if cell not in missing and not _is_word(cell, missing)]
    where, remedy = f"in column {name!r} of {table.name}", f'say `categorical = ["{name}"]` if these are categories'
    numbers = {cell for cell in present if _number(cell) is not None}
    share = sum(cell in numbers for cell in present) / max(len(present), 1)
    commas = [cell for cell in present if COMMA.fullmatch(cell)]
    if len(commas) == len(present) and len(set(present)) >= ENOUGH and any("," in cell for cell in present):
        raise DataError(
            f'expected numbers with a decimal point {where}, got such as {commas[0]!r}; say `decimal = ","` in the '
            f"data.toml, or {remedy}"
        )
    if share >= NEARLY and len(numbers) >= ENOUGH:
        row = next(place for place, cell in enumerate(cells) if cell in present and cell not in numbers)
        words = ", ".join(f'"{word}"' for word in [*missing, cells[row]])
        raise DataError(
            f"expected finite numbers {where}, as most cells are, got {cells[row]!r} in line {table.lines[row]}; "
            f"correct it, say `missing = [{words}]` if no value is meant, or {remedy}"
        )
    if len(set(present)) > MOST_DATES and are_dates(present):
        raise DataError(
            f"expected numbers or categories {where}, got dates such as {present[0]!r}; list the column under `drop` "
            f"(conditions can ask for it all the same), make numbers of it, or {remedy}"
        )
    if len(cells) >= ROWS and len(set(cells)) == len(cells):
        raise DataError(
            f"expected categories of several rows each {where}, got another cell in every row, such as {cells[0]!r}; "
            f'say `id = "{name}"` if it names the rows, or list it under `drop`'
        )


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
