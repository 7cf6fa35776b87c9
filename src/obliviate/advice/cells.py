"""What was measured of every method: a row a cell, in a table that the package ships and anybody can add to."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, get_type_hints

from obliviate._util.files import write_atomically
from obliviate.errors import ReportError

SHIPPED: Final = "cells.csv"
REQUESTS: Final = ("random", "memorised", "owner", "class")
TASKS: Final = ("images", "table", "texts")
VERDICTS: Final = (
    "consistent with retraining", "leaks", "over-unlearned", "utility lost", "not resolvable with these data",
)  # fmt: skip
PERCENT: Final = ("gap", "floor", "cost")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on one request to one model, judged beside retrained models; raises ReportError for impossible values.

    `method` has the variant in brackets where it is not the default, such as "amun (paper)"; "original" is the model
    before. `retain_set` says whether the method was given one. `ground` names network and data; `epochs` and
    `samples` are those of the original's training. `share` is the part of the training set to be forgotten. `gap` is
    the average gap to the retrained models in points, `floor` their gap among themselves, `margins` the mean distance
    of single forget samples' margins over that among retrained models, `u_lira_auc` what U-LiRA tells (percent, 50 is
    chance), `cost` percent of a retraining; None where it was not measured.

    >>> Cell(method="fine_tune", retain_set=True, ground="mine", task="images", samples=5000, epochs=20,
    ...      request="random", share=0.1, seed=1, gap=2.5, floor=0.5, cost=20.0, verdict="leaks", commit="1a2b3c4").far
    5.0
    """

    method: str
    retain_set: bool
    ground: str
    task: str
    samples: int
    epochs: int
    request: str
    share: float
    seed: int
    original: int = 0
    gap: float
    floor: float
    margins: float | None = None
    u_lira_auc: float | None = None
    cost: float | None = None
    verdict: str
    damaged: bool = False
    commit: str

    def __post_init__(self) -> None:
        for name, known in {"request": REQUESTS, "task": TASKS, "verdict": VERDICTS}.items():
            if (value := getattr(self, name)) not in known:
                raise ReportError(f"expected {name} of {', '.join(known)}, got {value!r}; correct the cell")
        for name in (*PERCENT, "margins", "u_lira_auc"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ReportError(f"expected {name} of 0 or more, got {value!r}; correct the cell")
        if self.floor == 0 or not 0 < self.share < 1:
            raise ReportError(
                f"expected a floor above 0 and a share in (0, 1), got {self.floor} and {self.share}; correct the cell"
            )
        if not self.method or not self.ground or not self.commit:
            raise ReportError("expected a method, a ground and a commit, got an empty text; fill it in")

    @property
    def far(self) -> float:
        """The gap as a multiple of the floor, at least 1: nearer than retrained models are to each other is as near."""
        return max(self.gap / self.floor, 1.0)


def read_cells(path: Path | None = None) -> list[Cell]:
    """Read a table of cells, the shipped one if `path` is left out; raises ReportError for any other file.

    >>> {cell.request for cell in read_cells()} <= set(REQUESTS)
    True
    """
    source = files("obliviate.advice").joinpath(SHIPPED) if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"expected a table of cells in {source}, got {error}; name another file") from error
    reader = csv.DictReader(text.splitlines())
    names = [field.name for field in fields(Cell)]
    if reader.fieldnames is None or list(reader.fieldnames) != names:
        raise ReportError(
            f"expected the columns {', '.join(names)} in {source}, got {', '.join(reader.fieldnames or ['none'])}; "
            "write the file with `obliviate.advice.write_cells`"
        )
    cells = []
    for row in reader:
        try:
            cells.append(_cell(row))
        except (ReportError, ValueError) as error:
            raise ReportError(f"line {reader.line_num} of {source}: {error}") from error
    return cells


def write_cells(path: Path, cells: Iterable[Cell]) -> None:
    """Write a table of cells in one step, sorted, so that the same cells are the same file."""
    rows = sorted((asdict(cell) for cell in cells), key=lambda row: [str(value) for value in row.values()])

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(Cell)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def _cell(row: Mapping[str, str | None]) -> Cell:
    """A cell of the texts of its columns; raises ReportError or ValueError for what cannot be read."""
    if None in row.values() or None in row:
        raise ReportError("expected a value for every column, got too few or too many; correct the row")
    types = get_type_hints(Cell)
    return Cell(**{name: _value(str(text), types[name], name) for name, text in row.items()})


def _value(text: str, kind: Any, name: str) -> Any:
    if kind is bool:
        if text not in ("True", "False"):
            raise ReportError(f"expected True or False for {name}, got {text!r}; correct the row")
        return text == "True"
    if kind == float | None:
        return float(text) if text else None
    return kind(text)
