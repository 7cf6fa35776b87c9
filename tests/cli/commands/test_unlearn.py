"""`obliviate unlearn`: what it prints and keeps, and methods that are refused."""

import json
from pathlib import Path

import pytest

from command_line import OPTIONS, Cli, refused, snapshot, weights
from obliviate.requests import Request, Requests


def test_unlearn_prints_utility_before_and_after_and_what_to_try_next(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    code, out, _ = cli(*asked, "--set", "learning_rate=0.5", "--set", "epochs=10")
    assert code == 0
    heading, *rows = [line.split() for line in out.splitlines()[1:] if "─" not in line and line.strip()][:4]
    assert heading == ["measured", "accuracy", "balanced", "accuracy"]
    assert [row[:2] for row in rows] == [["forget", "60"], ["retain", "240"], ["unseen", "100"]]
    assert all(row.count("→") == 2 for row in rows)
    text = " ".join(out.split())
    assert "damaged: accuracy on retained samples fell from" in text
    assert text.endswith("; lower the learning rate: --set learning_rate=0.125, or let --tune 8 find settings")

    relative = cli(
        "unlearn", "gradient_ascent", "--out", folder, "--set", "learning_rate=5x", "--set", "epochs=10", "--json"
    )
    assert json.loads(relative[1])["effect"]["try_next"] == {"learning_rate": 0.125}  # of the rate in numbers

    gentle = (*asked, "--set", "learning_rate=5e-6", "--no-retain", "--json")
    effect = json.loads(cli(*gentle)[1])["effect"]
    assert [part["samples"] for part in effect["parts"].values()] == [
        60,
        240,
        100,
    ]  # retained ones, for measuring alone
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("models/1-gradient*.json")]
    assert effect in [manifest["settings"]["effect"] for manifest in manifests]
    assert json.loads(cli(*gentle)[1])["effect"] == effect


def test_train_in_shards_and_unlearn_exactly(cli: Cli, mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--shards", "2", "--slices", "3", *OPTIONS]
    assert cli("train", "--out", out, "--data", mine, *options)[0] == 0
    code, text, _ = cli("unlearn", "sisa", "--out", out, "--forget", "image-7", "--json")
    assert code == 0
    notes = json.loads(text)["notes"]
    assert 1 <= notes["slices_retrained"] <= 3
    assert 0 < notes["visits_share"] <= 0.6
    assert len(list((out / "checkpoints").iterdir())) == 2


def test_running_a_command_again_makes_nothing_new(cli: Cli, folder: Path, mine: Path) -> None:
    before = snapshot(folder)
    assert cli("train", "--out", folder, "--data", mine, *OPTIONS)[0] == 0
    assert snapshot(folder) == before
    forget = ("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-3,image-7")
    assert cli(*forget)[0] == 0
    before = snapshot(folder)
    assert cli(*forget)[0] == 0
    assert cli("unlearn", "gradient_ascent", "--out", folder)[0] == 0  # the forget set is remembered
    assert snapshot(folder) == before


def test_models_that_differ_in_anything_are_kept_apart(cli: Cli, folder: Path) -> None:
    base = ("unlearn", "gradient_ascent", "--out", folder)
    assert cli(*base, "--forget", "random:0.1")[0] == 0
    assert cli(*base, "--set", "epochs=2")[0] == 0
    assert cli(*base, "--seed", 3)[0] == 0
    assert cli(*base, "--no-retain")[0] == 0
    assert len(weights(folder)) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["amnesia"], ["a method of retrain, sisa, fine_tune, gradient_ascent, never_seen, amun", "'amnesia'"]),
        (["amun", "--set", "epoch=3"], ["NAME=VALUE with a hyperparameter of amun", "'epoch=3'"]),
        (["amun", "--set", "epochs"], ["NAME=VALUE", "'epochs'"]),
        (["fine_tune", "--set", "epochs=many"], ["epochs as a whole number above 0 or a share", "'many'"]),
        (["fine_tune", "--set", "learning_rate=fast"], ["a number above 0 or a multiple of the recipe's", "'fast'"]),
        (["fine_tune", "--set", "learning_rate=20%"], ["a number above 0 or a multiple of the recipe's", "'20%'"]),
        (["fine_tune", "--set", "epochs=0"], ["epochs above 0", "got 0"]),
        (["fine_tune", "--set", "epochs=1.5"], ["epochs to be a whole number", "'1.5'"]),
        (["amun", "--set", "search=guess"], ["a search of boundary, pgd, fgsm", "'guess'"]),
        (["amun", "--set", "optimizer=lion"], ["an optimizer of recipe, sgd, adam, adamw", "'lion'"]),
        (["amun", "--set", "epochs=many"], ["epochs", "many"]),
        (["amun", "--set", "examples=3"], ["examples", "3"]),
        (["amun", "--set", "schedule=magic"], ["schedule", "'magic'"]),
        (["fine_tune", "--no-retain"], ["a retain set for fine_tune", "none"]),
    ],
    ids=lambda words: " ".join(words) if "--set" in words or len(words) == 1 else "",
)
def test_a_bad_method_is_refused_before_anything_is_written(
    cli: Cli, folder: Path, arguments: list[str], words: list[str], unchecked: None
) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.1")
    before = snapshot(folder)
    refused(cli("unlearn", *arguments, "--out", folder), *words)
    assert snapshot(folder) == before


@pytest.mark.parametrize("method", ["amun", "mixunlearn", "nabla_tau", "fine_tune", "scrub"])
def test_a_learning_rate_that_is_too_high_leaves_the_folder_as_it_was(cli: Cli, folder: Path, method: str) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "class:7")[0] == 0
    before = snapshot(folder)
    code, out, err = cli("unlearn", method, "--out", folder, "--set", "learning_rate=1e30")
    assert (code, out) == (1, "")
    assert "error: expected a finite loss, got " in err
    assert err.endswith("lower the learning rate\n")
    assert "Traceback" not in err
    assert snapshot(folder) == before


def test_a_retrained_model_whose_loss_is_not_finite_leaves_no_model(cli: Cli, folder: Path) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    before = set(weights(folder))
    result = cli("unlearn", "fine_tune", "--out", folder, "--set", "learning_rate=1e30")
    refused(result, "a finite loss", "lower the learning rate")
    assert set(weights(folder)) == before


def test_a_layer_that_the_model_does_not_have_is_refused_with_those_it_has(
    cli: Cli, folder: Path, mine: Path, tmp_path: Path
) -> None:
    Requests(folder).ask(Request(1, "ids", ["image-1"]))
    before = snapshot(folder)
    asked = ("unlearn", "mixunlearn", "--out", folder, "--set")
    refused(cli(*asked, "layer=layer3"), "the name of a layer", "'layer3' of SmallCNN", "conv1", "conv2")
    refused(cli(*asked, "layer=linear1"), "a feature map", "'linear1' of SmallCNN", "conv1", "conv2")
    assert snapshot(folder) == before
    flat = tmp_path / "flat"
    assert cli("train", "--out", flat, "--data", mine, "--model", "mlp", "--epochs", 1)[0] == 0
    before = snapshot(flat)
    asked = ("unlearn", "mixunlearn", "--out", flat, "--forget", "random:0.1")
    result = cli(*asked)
    refused(result, "a model with feature maps", "got MLP without", "generator=False")
    assert snapshot(flat) == before
    assert cli(*asked, "--set", "generator=false")[0] == 0


def test_copies_of_nothing_are_refused(cli: Cli, folder: Path) -> None:
    for options in ([], ["--dry-run"]):
        refused(
            cli("unlearn", "fine_tune", "--out", folder, "--with-copies", *options),
            "something to forget, to take copies",
        )
