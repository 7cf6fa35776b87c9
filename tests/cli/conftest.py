"""The command line in this process, a user's file, and a folder in which the original was trained."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from command_line import OPTIONS, Cli
from obliviate.cli import main
from obliviate.data.sources import Data
from obliviate.report import html
from obliviate.testing.bench import halved


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process; return its exit code, and what it wrote to stdout and to stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


@pytest.fixture(scope="session")
def mine(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file: 300 training, 40 holdout and 100 test images of 14×14 pixels, as bytes."""
    assert data.holdout is not None
    arrays: dict[str, np.ndarray] = {}
    for part, samples, count in (
        ("train", data.train, 300),
        ("holdout", data.holdout, 40),
        ("test", data.test, 100),
    ):
        batch = halved(samples.select(samples.ids[:count])).everything()
        arrays[f"{part}_x"] = (255 * batch.x[:, 0]).round().byte().numpy()
        arrays[f"{part}_y"] = batch.y.numpy()
    arrays["train_ids"] = np.array([f"image-{number}" for number in range(300)])
    arrays["train_owner"] = np.array([f"w{number % 20}" for number in range(300)])
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    return path


@pytest.fixture(scope="session")
def whole(mine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the original was trained."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--out", str(folder), "--data", str(mine), *OPTIONS])
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits whose pages nobody looks at draw none: half of their time is plots. tests/report looks at pages."""
    monkeypatch.setattr(html, "render", lambda results: f"<!doctype html><title>{results.data.name}</title>")
