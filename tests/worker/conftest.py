"""A project with rows of numbers, small enough that a request is done in seconds."""

from pathlib import Path

import numpy as np
import pytest

from obliviate.data.samples import Samples
from obliviate.project import Project
from obliviate.report import html
from user_files import write_rows
from worker_support import begin


@pytest.fixture(scope="session")
def rows(tiny: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file: 40 rows to train on, each of one of eight people, and 20 to test on."""
    owners = np.array([f"person-{place % 8}" for place in range(40)])
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.npz", tiny, train_owner=owners)


@pytest.fixture
def project(rows: Path, tmp_path: Path) -> Project:
    return begin(tmp_path / "project", rows)


@pytest.fixture
def unaudited(rows: Path, tmp_path: Path) -> Project:
    """A project that audits nothing, which takes a fifth of the time."""
    return begin(tmp_path / "project", rows, references=0)


@pytest.fixture(autouse=True)
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits whose pages nobody looks at draw none."""
    monkeypatch.setattr(html, "render", lambda results: f"<!doctype html><title>{results.data.name}</title>")
