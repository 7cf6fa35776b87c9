"""`obliviate inspect`."""

import json
from pathlib import Path

from command_line import Cli, first, refused, snapshot, weights


def test_models_are_inspected(cli: Cli, folder: Path) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")[0] == 0
    before = weights(folder)
    inspect = ("inspect", "--out", folder, "--retrained", 2, "--epochs", 1)
    code, out, _ = cli(*inspect)
    assert code == 0
    inspection = json.loads(first(folder).inspection.read_text(encoding="utf-8"))
    for model in inspection["models"]:
        assert model["name"] in out
        assert model["probe"]["low"] <= model["probe"]["value"] <= model["probe"]["high"]
        assert 0 <= model["zrf"] <= 1
    assert {model["name"] for model in inspection["models"]} >= {"original", "gradient_ascent"}
    assert before.items() <= weights(folder).items()
    code, out, _ = cli(*inspect, "--json")
    assert code == 0
    assert json.loads(out) == inspection


def test_an_inspection_that_cannot_be_made_is_refused(cli: Cli, folder: Path) -> None:
    refused(cli("inspect", "--out", folder), "a forget set", "none")
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    before = snapshot(folder)
    refused(cli("inspect", "--out", folder, "--epochs", 0), "epochs >= 1", "got 0")
    refused(cli("inspect", "--out", folder, "--learning-rate", 0), "a learning rate above 0", "0.0")
    assert snapshot(folder) == before
