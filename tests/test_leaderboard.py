"""The leaderboard and the cells of the package are made from what was measured."""

from pathlib import Path
from types import ModuleType

import pytest

from obliviate.advice import read_cells, write_cells
from repository_scripts import script


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return script("make_leaderboard")


def test_the_cells_and_the_page_are_those_of_the_results(maker: ModuleType, tmp_path: Path) -> None:
    cells = list(maker.cells())
    write_cells(tmp_path / "cells.csv", cells)
    assert (tmp_path / "cells.csv").read_bytes() == maker.CELLS.read_bytes(), "run `python scripts/make_leaderboard.py`"
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(cells), "run `python scripts/make_leaderboard.py`"


def test_every_cell_names_its_commit(maker: ModuleType) -> None:
    assert all(cell.commit for cell in read_cells())
