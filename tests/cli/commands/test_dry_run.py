"""`obliviate unlearn --dry-run`: what would be done, and nothing else."""

import json
from pathlib import Path

from command_line import Cli, first, refused, snapshot
from obliviate.methods.fine_tune import FineTune


def test_a_dry_run_shows_what_would_be_forgotten_and_changes_nothing(cli: Cli, folder: Path) -> None:
    before = snapshot(folder)
    asked = ("unlearn", "fine_tune", "--out", folder, "--set", "epochs=1", "--dry-run")
    code, out, _ = cli(*asked, "--forget", "owner:w7,w3")
    assert code == 0
    assert "Would forget 30 of 300 training samples (owner w7, w3)" in out
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows if row and row[0].startswith("image-")] == [
        f"image-{10 * tens + end}" for tens in range(0, 10, 2) for end in (3, 7)
    ]
    assert ["w3", "15", "15"] in rows
    assert ["w7", "15", "15"] in rows
    assert "and 20 more; --json lists all ids" in out
    assert "Method: FineTune(epochs=1, " in out
    assert "; approximate; needs labels, retain: given" in " ".join(out.split())
    code, out, _ = cli(*asked, "--forget", "where:owner in ('w7', 'w3')", "--json")
    assert code == 0
    outline = json.loads(out)
    assert outline["ids"] == [f"image-{number}" for number in range(300) if number % 20 in {3, 7}]
    assert (outline["forget"], outline["train"], outline["rule"]) == (30, 300, "where owner in ('w7', 'w3')")
    assert sum(number["forget"] for number in outline["classes"]["first"]) == 30
    assert outline["samples"][0] == {"id": "image-3", "class": outline["samples"][0]["class"], "owner": "w3"}
    assert (outline["exact"], outline["needs"]) == (False, ["labels", "retain"])
    refused(cli(*asked), "a forget set", "none")
    refused(cli(*asked, "--forget", "owner:w3", "--no-retain"), "a retain set for fine_tune", "none")
    assert snapshot(folder) == before


def test_relative_settings_are_shown_and_kept_in_numbers(cli: Cli, folder: Path) -> None:
    relative = [("optimizer", "recipe"), ("learning_rate", "1.5x"), ("epochs", "20%"), ("batch_size", "null")]
    options = [text for name, value in relative for text in ("--set", f"{name}={value}")]
    asked = ("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.1", *options)
    code, out, _ = cli(*asked, "--dry-run", "--json")
    assert code == 0
    method = json.loads(out)["method"]
    numbers = {"optimizer": "sgd", "learning_rate": 0.15, "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 32}
    assert method == repr(FineTune(epochs=1, **numbers))
    assert f"Method: {method}" in " ".join(cli(*asked, "--dry-run")[1].split())
    assert cli(*asked)[0] == 0
    (manifest,) = folder.rglob("models/1-fine_tune*.json")
    assert json.loads(manifest.read_text(encoding="utf-8"))["method"] == method
    by_adam = json.loads(cli(*asked, "--set", "optimizer=adamw", "--dry-run", "--json")[1])["method"]
    rate = 1.5 * 0.001 * 64 / 32 * (32 / 64) ** 0.5  # 0.001 beside SGD's 0.1 at 64 samples, by the root of the batch
    assert by_adam == repr(
        FineTune(epochs=1, **numbers | {"optimizer": "adamw", "learning_rate": float(f"{rate:.12g}")})
    )


def test_a_dry_run_of_a_method_with_teachers_trains_none_and_refuses_a_number_that_cannot_be(
    cli: Cli, folder: Path
) -> None:
    asked = ("unlearn", "never_seen", "--out", folder, "--forget", "random:0.1", "--dry-run")
    before = snapshot(folder)
    code, out, _ = cli(*asked, "--json")
    assert code == 0
    assert json.loads(out)["needs"] == ["labels", "teachers"]
    refused(cli(*asked, "--teachers", 3), "an even number of reference models, at least 4", "got 3")
    assert snapshot(folder) == before


def test_a_dry_run_is_what_is_done_and_what_was_chosen_is_shown_again(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder)
    code, out, _ = cli(*asked, "--forget", "random:0.1", "--dry-run", "--json")
    assert code == 0
    assert cli(*asked, "--forget", "random:0.1")[0] == 0
    assert json.loads(first(folder).request.read_text(encoding="utf-8"))["ids"] == json.loads(out)["ids"]
    before = snapshot(folder)
    assert cli(*asked, "--dry-run", "--json") == (0, out, "")
    refused(cli(*asked, "--forget", "owner:w3", "--dry-run"), "the forget set that", "another")
    assert snapshot(folder) == before
