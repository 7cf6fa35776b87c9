"""`obliviate train --coins` and `--noise`, forgotten and tested exactly."""

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import Cli, first


@pytest.fixture
def random_labels(tmp_path: Path) -> list[object]:
    """A training on inputs and labels of which all that can be learnt is learnt by heart."""
    generator = np.random.default_rng(0)
    arrays = {f"{part}_x": generator.random((count, 30)) for part, count in (("train", 200), ("test", 60))}
    arrays |= {f"{part}_y": generator.integers(0, 2, count) for part, count in (("train", 200), ("test", 60))}
    np.savez(tmp_path / "random.npz", **arrays)  # pyright: ignore[reportArgumentType]
    options = ["--model", "mlp", "--options", '{"features": 30, "classes": 2, "hidden": [64]}', "--epochs", 30]
    return ["train", "--data", tmp_path / "random.npz", *options, "--batch-size", 32]


@pytest.mark.usefixtures("without_page")
def test_coins_are_tossed_forgotten_and_tested(cli: Cli, tmp_path: Path, random_labels: list[object]) -> None:
    out = tmp_path / "run"
    assert cli(*random_labels, "--out", out, "--coins", 100)[0] == 0
    sides = json.loads((out / "coins.json").read_text(encoding="utf-8"))
    assert cli("unlearn", "gradient_ascent", "--out", out, "--forget", "coins", "--set", "learning_rate=1e-6")[0] == 0
    code, text, _ = cli("audit", "--out", out, "--references", 4, "--retrained", 2, "--workers", 0)
    assert code == 0
    flips = json.loads(first(out).results.read_text(encoding="utf-8"))["coin_flips"]
    assert (flips["heads"], flips["tails"]) == (len(sides["heads"]), len(sides["tails"]))
    p_values = {model["name"]: model["p_value"] for model in flips["models"]}
    assert p_values["original"] < 0.01
    assert p_values["gradient_ascent"] < 0.01  # it has hardly moved
    assert all(value > 0.01 for name, value in p_values.items() if name.startswith("retrain"))
    assert f"100 coins, {len(sides['heads'])} heads" in text
    assert "retrained ones guess half of the coins" in text


@pytest.mark.usefixtures("without_page")
def test_noise_is_planted_forgotten_and_tested(cli: Cli, tmp_path: Path, random_labels: list[object]) -> None:
    out = tmp_path / "run"
    assert cli(*random_labels, "--out", out, "--noise", 100, "--noise-scale", 0.5)[0] == 0
    assert cli("unlearn", "gradient_ascent", "--out", out, "--forget", "noise", "--set", "learning_rate=1e-6")[0] == 0
    code, text, _ = cli("audit", "--out", out, "--references", 4, "--retrained", 2, "--workers", 0)
    assert code == 0
    noise = json.loads(first(out).results.read_text(encoding="utf-8"))["planted_noise"]
    p_values = {model["name"]: model["p_value"] for model in noise["models"]}
    assert p_values["original"] < 0.001
    assert p_values["gradient_ascent"] < 0.001  # it has hardly moved
    assert all(value > 0.01 for name, value in p_values.items() if name.startswith("retrain"))
    assert "noise planted in 100 samples" in text
    assert "z is standard normal. A mean score of 0.249 would be found" in text
