"""`obliviate oracle` and `obliviate judge`."""

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import Cli


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with random classes, in the smallest number of which something can be told."""
    generator = np.random.default_rng(0)
    x, y = generator.random((120, 16), np.float32), generator.integers(0, 2, 120)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, train_x=x[:60], train_y=y[:60], test_x=x[60:], test_y=y[60:])
    return path


def test_a_file_is_built_from_a_folder_and_methods_are_judged_by_it(cli: Cli, rows: Path, tmp_path: Path) -> None:
    run, path = str(tmp_path / "run"), str(tmp_path / "mine.safetensors")
    trained, _, _ = cli("train", "--out", run, "--data", str(rows), "--model", "mlp", "--epochs", "8")
    assert trained == 0
    cli("unlearn", "fine_tune", "--out", run, "--forget", "random:0.3", "--set", "epochs=1")
    words = ["oracle", path, "--out", run, "--references", "4", "--retrained", "2", "--workers", "0"]
    code, out, _ = cli(*words, "--half", "--json")
    assert code == 0
    built = json.loads(out)
    assert (built["references"], built["retrained"], built["forget"]) == (4, 2, 18)
    assert built["bytes"] == Path(path).stat().st_size
    report = tmp_path / "judged.html"
    code, out, _ = cli("judge", "fine_tune", "--oracle", path, "--set", "epochs=2", "--report", str(report))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["original", "fine_tune", "retrain", "retrain"]
    assert "4 references, 2 retrained models" in out.splitlines()[-1]
    assert "fine_tune" in report.read_text(encoding="utf-8")
    code, out, _ = cli("judge", "gradient_ascent", "--oracle", path, "--json", "--no-retain")
    assert code == 0
    assert [model["name"] for model in json.loads(out)["models"]][1] == "gradient_ascent (no retain set)"
    code, _, err = cli("judge", "fine_tune", "--oracle", str(tmp_path / "none.safetensors"))
    assert code == 1
    assert "build it by `obliviate oracle`" in err
