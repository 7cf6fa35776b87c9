"""The cells that advice rests on: what they may be, and the table that they are kept in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from obliviate.advice import Cell, read_cells, write_cells
from obliviate.errors import ReportError

CELL = Cell(
    method="my_method", retain_set=True, ground="flowers", task="images", samples=6000, epochs=40, request="random",
    share=0.1, seed=1, gap=1.4, floor=0.7, margins=1.2, cost=18.0, verdict="leaks", commit="1a2b3c4d5e6f",
)  # fmt: skip


def test_cells_are_read_as_they_were_written(tmp_path: Path) -> None:
    bare = replace(CELL, margins=None, cost=None, retain_set=False, damaged=True, seed=2)
    write_cells(tmp_path / "cells.csv", [bare, CELL])
    assert set(read_cells(tmp_path / "cells.csv")) == {CELL, bare}


def test_the_order_of_cells_does_not_change_the_file(tmp_path: Path) -> None:
    cells = [CELL, replace(CELL, seed=2), replace(CELL, method="another")]
    write_cells(tmp_path / "a.csv", cells)
    write_cells(tmp_path / "b.csv", reversed(cells))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_gap_below_the_floor_is_at_the_floor() -> None:
    assert CELL.far == 2.0
    assert replace(CELL, gap=0.1).far == 1.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"request": "everybody"}, "expected request of random, memorised, owner, class, got 'everybody'"),
        ({"task": "sounds"}, "expected task of images"),
        ({"verdict": "fine"}, "expected verdict of consistent"),
        ({"gap": -1.0}, "expected gap of 0 or more, got -1.0"),
        ({"cost": float("nan")}, "expected cost of 0 or more, got nan"),
        ({"floor": 0.0}, "expected a floor above 0"),
        ({"share": 1.0}, r"a share in \(0, 1\), got 0.7 and 1.0"),
        ({"commit": ""}, "got an empty text"),
    ],
)
def test_cells_that_cannot_be_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        replace(CELL, **changed)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("method,", "name,", "expected the columns method"),
        ("leaks", "fine", "line 2 of .*expected verdict"),
        ("6000", "many", "line 2 of .*many"),
        ("True", "yes", "line 2 of .*expected True or False for retain_set, got 'yes'"),
        (",leaks", "", "line 2 of .*too few"),
        (",leaks", ",leaks,more", "line 2 of .*"),
    ],
)
def test_a_table_that_was_edited_wrongly_is_refused_with_the_line(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "cells.csv"
    write_cells(path, [CELL])
    path.write_text(path.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    with pytest.raises(ReportError, match=message):
        read_cells(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", None])
def test_what_is_no_table_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReportError, match="expected"):
        read_cells(path)
