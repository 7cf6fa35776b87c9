"""`obliviate audit` and `report`, from training to the page."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Cli, first, refused, snapshot, weights
from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.requests import Request, Requests


def test_train_unlearn_audit_report(cli: Cli, folder: Path, mine: Path) -> None:
    code, out, _ = cli("unlearn", "amun", "--out", folder, "--forget", "random:0.2", "--set", "learning_rate=0.05")
    assert code == 0
    assert out.startswith("amun: done in ")
    assert "; forgot 60 of 300 samples (random 20 %)" in out
    code, out, _ = cli("unlearn", "fine_tune", "--out", folder, "--set", "epochs=1", "--json")
    assert code == 0
    facts = json.loads(out)
    assert set(facts) == {
        "folder", "model", "method", "request", "forget", "seconds", "notes", "effect", "copies", "unseen", "tuning"
    }  # fmt: skip
    assert facts["forget"] == 60
    assert facts["method"].startswith("FineTune(epochs=1, ")

    code, out, _ = cli("audit", "--out", folder, "--references", 4, "--retrained", 2, "--workers", 0)
    assert code == 0
    results = read_sealed_json(first(folder).results)
    assert [model["role"] for model in results["models"]].count("retrained") == 2
    assert {model["name"] for model in results["models"]} > {"original", "amun", "fine_tune"}
    assert results["data"]["train"] == 300
    assert (results["data"]["forget"], results["data"]["forget_rule"]) == (60, "random 20 %")
    assert results["references"]["models"] == 4
    for model in results["models"]:
        assert model["name"] in out
    page = first(folder).report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert not list(folder.rglob("work"))

    before, models = weights(folder), {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    code, out, _ = cli("audit", "--out", folder, "--references", 4, "--retrained", 2, "--workers", 0, "--json")
    assert code == 0
    again = json.loads(out)
    assert again["models"] == results["models"]
    assert {
        path.name: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")
    } == models  # nothing was retrained
    assert weights(folder) == before

    first(folder).report.unlink()
    code, out, _ = cli("report", "--out", folder)
    assert (code, out) == (0, f"Wrote {first(folder).report}\n")
    assert first(folder).report.exists()


@pytest.mark.usefixtures("without_page")
def test_an_audit_is_made_as_it_was_asked_for(cli: Cli, folder: Path) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.3")[0] == 0
    audit = ("audit", "--out", folder, "--references", 6, "--retrained", 0, "--workers", 0)
    options = (
        "--margin",
        4,
        "--utility-margin",
        7,
        "--form",
        "taylor",
        "--cheap-attacks",
        "--shadows",
        "--no-pictures",
    )
    code, out, _ = cli(*audit, *options, "--json")
    assert code == 0
    results = json.loads(out)
    settings = results["settings"]
    assert (settings["margin"], settings["utility_margin"]) == (pytest.approx(4), pytest.approx(7))
    assert settings["cheap_attacks"]
    assert {attack["name"]: attack["settings"] for attack in results["attacks"]}["rmia"]["form"] == "taylor"
    assert not results["pictures"]
    original, unlearned = results["models"]
    assert (original["role"], unlearned["role"]) == ("original", "unlearned")
    assert "ulira" in unlearned["attacks"]
    assert "ulira" not in original["attacks"]
    assert unlearned["cheap_attacks"]
    code, out, _ = cli(*audit)
    assert code == 0
    assert "references that never saw them: " in out
    results = json.loads(first(folder).results.read_text(encoding="utf-8"))
    assert results["settings"]["margin"] is None
    assert not results["models"][0]["cheap_attacks"]


@pytest.mark.usefixtures("without_page")
def test_a_model_that_has_no_shadows_is_named(cli: Cli, mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert cli("train", "--out", out, "--data", mine, "--shards", 2, "--epochs", 2)[0] == 0
    assert cli("unlearn", "sisa", "--out", out, "--forget", "random:0.3")[0] == 0
    code, text, _ = cli("audit", "--out", out, "--references", 6, "--retrained", 0, "--workers", 0, "--shadows")
    assert code == 0
    assert "note: sisa was audited without U-LiRA" in text


@pytest.mark.usefixtures("without_page")
def test_samples_of_one_owner_can_be_shown_to_leak_and_no_more_by_references_alone(cli: Cli, folder: Path) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "owner:w3,w5,w7")[0] == 0
    assert json.loads(first(folder).request.read_text(encoding="utf-8"))["grouped"] is True
    audit = ("audit", "--out", folder, "--references", 8, "--workers", 0, "--json", "--retrained")
    alone, retrained = (json.loads(cli(*audit, count)[1]) for count in (0, 2))
    assert alone["settings"]["one_sided"] is True
    assert {model["verdict"] for model in alone["models"]} <= {
        "leaks",
        "utility lost",
        "not resolvable with these data",
    }
    assert retrained["settings"]["one_sided"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--references", "3"], ["an even number of reference models", "3"]),
        (["--references", "2"], ["an even number of reference models, at least 4", "2"]),
        (["--retrained", "1"], ["0 or at least 2", "1"]),
        (["--margin", "0"], ["a margin above 0 and up to 50 points", "got 0"]),
        (["--margin", "nan"], ["a margin above 0 and up to 50 points", "got nan"]),
        (["--utility-margin", "101"], ["a utility margin from 0 to 100 points", "got 101"]),
    ],
    ids=lambda words: " ".join(words) if len(words) > 1 and words[0].startswith("--") else "",
)
def test_an_audit_that_cannot_be_made_is_refused_before_any_training(
    cli: Cli, folder: Path, options: list[str], words: list[str]
) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    before = snapshot(folder)
    refused(cli("audit", "--out", folder, *options), *words)
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_text("{"), ["JSON", "damaged"]),
        (lambda path: path.write_text("{}"), ["the hash of the contents", "none"]),
        (lambda path: write_sealed_json(path, {"schema": "other/1"}), ["other/1"]),
        (lambda path: write_sealed_json(path, {}), ["obliviate.results/5"]),
    ],
    ids=["no JSON", "no hash", "another schema", "no schema"],
)
def test_foreign_results_are_not_shown(
    cli: Cli, folder: Path, write: Callable[[Path], object], words: list[str]
) -> None:
    Requests(folder).ask(Request(1, "ids", ["image-1"]))
    write(first(folder).results)
    before = snapshot(folder)
    refused(cli("report", "--out", folder), *words)
    assert snapshot(folder) == before


def test_one_record_has_a_rank_and_a_p_value_and_no_verdict(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-7", "--set", "learning_rate=0.001")
    assert cli(*asked)[0] == 0
    command = ("audit", "--out", folder, "--references", 4, "--retrained", 2, "--workers", 0)
    code, out, _ = cli(*command)
    text = " ".join(out.split())
    assert code == 0
    assert "forget one record (image-7): its rank by rmia" in text
    assert "its rank by lira" in text
    assert "Not resolvable with these data: one record shows no rate" in text
    values = json.loads(cli(*command, "--json")[1])
    assert (values["schema"], values["models"][0]["role"]) == ("obliviate.record/1", "original")
    assert cli("report", "--out", folder)[0] == 0
    refused(cli(*command, "--shadows"), "without shadows", "leave out --shadows")
