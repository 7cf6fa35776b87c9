"""The notebooks run from the first cell to the last, at a small size, and are stored without outputs."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from pages import ROOT
from quick_audits import FEW_PERMUTATIONS

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SMALL = {"EPOCHS = 20": "EPOCHS = 5", "EPOCHS, REFERENCES = 20, 8": "EPOCHS, REFERENCES = 5, 4"}
"""What makes a notebook quick: the settings that its first cell begins with."""

FEW = {'load_data("digits", holdout_size=100)': 'load_data("digits", train_size=400, holdout_size=100)'}
"""What makes its data few, where it loads them."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs(notebook: Path) -> None:
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


@pytest.mark.filterwarnings("default")  # those of the kernel's client are its own
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    document = nbformat.read(notebook, as_version=4)
    nbformat.validate(document)
    first = next(cell for cell in document.cells if cell.cell_type == "code")
    settings = re.findall(r"^EPOCHS.* = [\d, ]*\d", first.source, re.M)
    assert len(settings) == 1
    first.source = FEW_PERMUTATIONS + first.source.replace(settings[0], SMALL[settings[0]])
    for cell in document.cells:
        for whole, part in FEW.items():
            cell.source = cell.source.replace(whole, part)
    NotebookClient(document, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [output for cell in document.cells if cell.cell_type == "code" for output in cell.outputs]
    assert printed
