import hashlib
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.cli import app, main
from obliviate.cli.arguments import configure
from obliviate.cli.printing import new_console
from obliviate.data.ids import ids_sha256
from obliviate.data.sources import Data
from obliviate.errors import MethodError
from obliviate.methods import BUILT_IN
from obliviate.methods.amun import AMUN
from obliviate.methods.base import describe
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.requests import Request, RequestFolder, Requests
from obliviate.requests.request import FORMAT
from obliviate.training.compute import Compute
from obliviate.training.run import Run
from obliviate.workspace import Workspace

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-c", "from obliviate.cli import main; main()")
OPTIONS = ("--epochs", "3", "--batch-size", "32")

Cli = Callable[..., tuple[int, str, str]]


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder below, with its content; but for the log, which tells of refusals too."""
    return {
        str(one.relative_to(folder)): hashlib.sha256(one.read_bytes()).hexdigest() if one.is_file() else "folder"
        for one in folder.rglob("*")
        if one.name != "events.jsonl"
    }


def weights(folder: Path) -> dict[str, str]:
    """The hash of every model of a folder, by its file."""
    return {
        one.name: json.loads(one.read_text(encoding="utf-8"))["weights_sha256"] for one in folder.rglob("models/*.json")
    }


def first(folder: Path) -> RequestFolder:
    """Where everything of the first request lies."""
    return Requests(folder).at(1)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process; return its exit code, and what it wrote to stdout and to stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            main([str(one) for one in arguments])
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


@pytest.fixture(scope="session")
def mine(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file: 300 training, 40 holdout and 100 test images, as bytes."""
    assert data.holdout is not None
    arrays: dict[str, np.ndarray] = {}
    for part, samples, count in (
        ("train", data.train, 300),
        ("holdout", data.holdout, 40),
        ("test", data.test, 100),
    ):
        batch = samples.select(samples.ids[:count]).everything()
        arrays[f"{part}_x"] = (255 * batch.x[:, 0]).round().byte().numpy()
        arrays[f"{part}_y"] = batch.y.numpy()
    arrays["train_ids"] = np.array([f"image-{one}" for one in range(300)])
    arrays["train_owner"] = np.array([f"w{one % 20}" for one in range(300)])
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


def altered(mine: Path, path: Path, **changed: np.ndarray) -> Path:
    with np.load(mine) as file:
        np.savez(path, **(dict(file) | changed))  # pyright: ignore[reportArgumentType]
    return path


def refused(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert (code, out) == (1, "")
    message = " ".join(err.split("error: ", 1)[1].split())
    assert message.startswith("expected ")
    assert re.search(r"[,;] got |\. got ", message)
    for word in words:
        assert word in message


# ------------------------------------------------------------------------------------------- the whole path


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

    code, out, _ = cli("audit", "--out", folder, "--references", 6, "--retrained", 2, "--workers", 0)
    assert code == 0
    results = read_sealed_json(first(folder).results)
    assert [model["role"] for model in results["models"]].count("retrained") == 2
    assert {model["name"] for model in results["models"]} > {"original", "amun", "fine_tune"}
    assert results["data"]["train"] == 300
    assert (results["data"]["forget"], results["data"]["forget_rule"]) == (60, "random 20 %")
    assert results["references"]["models"] == 6
    for model in results["models"]:
        assert model["name"] in out
    page = first(folder).report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert not list(folder.rglob("work"))

    before, models = weights(folder), {one.name: one.stat().st_mtime_ns for one in folder.rglob("*.safetensors")}
    code, out, _ = cli("audit", "--out", folder, "--references", 6, "--retrained", 2, "--workers", 0, "--json")
    assert code == 0
    again = json.loads(out)
    assert again["models"] == results["models"]
    assert {
        one.name: one.stat().st_mtime_ns for one in folder.rglob("*.safetensors")
    } == models  # nothing was retrained
    assert weights(folder) == before

    first(folder).report.unlink()
    code, out, _ = cli("report", "--out", folder)
    assert (code, out) == (0, f"Wrote {first(folder).report}\n")
    assert first(folder).report.exists()


def test_unlearn_prints_utility_before_and_after_and_what_to_try_next(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    code, out, _ = cli(*asked, "--set", "learning_rate=0.5", "--set", "epochs=10")
    assert code == 0
    heading, *rows = [line.split() for line in out.splitlines()[1:] if "─" not in line and line.strip()][:4]
    assert heading == ["measured", "accuracy", "balanced", "accuracy"]
    assert [one[:2] for one in rows] == [["forget", "60"], ["retain", "240"], ["unseen", "100"]]
    assert all(one.count("→") == 2 for one in rows)
    told = " ".join(out.split())
    assert "damaged: accuracy on retained samples fell from" in told
    assert told.endswith("; lower the learning rate: --set learning_rate=0.125, or let --tune 8 find settings")

    relative = cli(
        "unlearn", "gradient_ascent", "--out", folder, "--set", "learning_rate=5x", "--set", "epochs=10", "--json"
    )
    assert json.loads(relative[1])["effect"]["try_next"] == {"learning_rate": 0.125}  # of the rate in numbers

    gentle = (*asked, "--set", "learning_rate=5e-6", "--no-retain", "--json")
    effect = json.loads(cli(*gentle)[1])["effect"]
    assert [one["samples"] for one in effect["parts"].values()] == [60, 240, 100]  # retained ones, for measuring alone
    manifests = [json.loads(one.read_text(encoding="utf-8")) for one in folder.rglob("models/1-gradient*.json")]
    assert effect in [one["settings"]["effect"] for one in manifests]
    assert json.loads(cli(*gentle)[1])["effect"] == effect


def test_class_weights_go_into_the_recipe(cli: Cli, mine: Path, tmp_path: Path) -> None:
    given = ",".join(map(str, range(1, 11)))
    with np.load(mine) as file:
        counts = np.bincount(file["train_y"], minlength=10)
    balanced = (300 / (10 * np.maximum(counts, 1))).tolist()
    for name, text, expected in (("a", given, list(range(1, 11))), ("b", "balanced", balanced)):
        assert cli("train", "--out", tmp_path / name, "--data", mine, *OPTIONS, "--class-weights", text)[0] == 0
        facts = json.loads((tmp_path / name / "workspace.json").read_text(encoding="utf-8"))
        assert facts["recipe"]["class_weights"] == pytest.approx(expected)
    arguments = ("train", "--out", tmp_path / "c", *OPTIONS)
    refused(cli(*arguments, "--data", mine, "--class-weights", "1,2"), "one class weight a class, 10", "got 2")
    refused(cli(*arguments, "--data", mine, "--class-weights", "1,x"), "a number a class", "got '1,x'")
    refused(cli(*arguments, "--data", mine, "--class-weights", given.replace("1,", "0,", 1)), "class weights above 0")
    refused(cli("train", "--out", tmp_path / "d", "--data", "diabetes", "--class-weights", "1"), "got regression")


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


def test_forget_ids_come_from_a_file(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("image-5\nimage-1\n\nimage-9\n")
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", f"@{tmp_path / 'ids.txt'}")[0] == 0
    (kept,) = Requests(folder).all
    assert (kept.rule, kept.ids) == ("ids from ids.txt", ["image-5", "image-1", "image-9"])


def test_a_second_request_goes_on_from_an_unlearned_model(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--set", "epochs=1", "--forget")
    assert cli(*asked, "image-1,image-2")[0] == 0
    before = snapshot(folder)
    refused(
        cli(*asked, "image-2,image-3", "--after", "1-gradient_ascent"), "still trained on", "'image-2' of request 1"
    )
    refused(cli(*asked, "image-3", "--after", "amun"), "an unlearned model of", "(1-gradient_ascent-", "got 'amun'")
    failing = ("unlearn", "fine_tune", "--out", folder, "--set", "learning_rate=1e30", "--forget", "image-3")
    refused(cli(*failing, "--after", "1-gradient_ascent"), "a finite loss")
    refused(cli(*asked[:-1], "--after", "1-gradient_ascent"), "a request of", "from 1 to 1, got 2")
    assert snapshot(folder) == before
    code, out, _ = cli(*asked, "random:0.1", "--after", "1-gradient_ascent", "--json")
    facts = json.loads(out)
    assert (code, facts["request"], facts["forget"]) == (0, 2, 30)
    code, out, _ = cli("unlearn", "fine_tune", "--out", folder, "--set", "epochs=1")
    assert code == 0
    assert "(random 10 %; request 2, after gradient_ascent)" in out
    code, out, _ = cli(*asked, "image-1,image-2")  # the first request, as it was
    assert code == 0
    assert "forgot 2 of 300 samples (ids)" in out
    assert len(weights(folder)) == 4
    refused(cli("audit", "--out", folder, "--request", 3), "a request of", "from 1 to 2, got 3")
    refused(cli("inspect", "--out", folder, "--request", 0), "a request of", "from 1 to 2, got 0")


def test_the_status_tells_ids_that_requests_go_on_from_and_what_was_refused(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "gradient_ascent", "--out", folder, "--set", "epochs=1", "--forget")
    assert "No model was made" not in cli("status", "--out", folder)[1]
    made = json.loads(cli(*asked, "image-1,image-2", "--json")[1])["model"]
    assert cli(*asked, "image-2", "--after", made)[0] == 1
    before = snapshot(folder)
    code, out, _ = cli("status", "--out", folder)
    assert code == 0
    assert "original: trained on 300 samples in " in out
    assert "Request 1: 2 samples (ids)" in out
    assert made in out
    assert "Refused: 1; the last " in out
    assert "'image-2' of request 1, which are forgotten already" in out
    told = json.loads(cli("status", "--out", folder, "--json")[1])
    assert [model["id"] for model in told["requests"][0]["models"]] == [made]
    assert snapshot(folder) == before
    refused(cli("status", "--out", folder / "none"), "a folder", "no ")


def test_a_command_in_a_folder_that_is_in_use_says_who_works_there(cli: Cli, folder: Path) -> None:
    code = "import sys, time; from pathlib import Path; from obliviate._util.locks import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        in_use = f"in use by process {holder.pid} (python, since"
        refused(cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-1"), "no other process", in_use)
        assert in_use[:12] in cli("status", "--out", folder)[1].lower()
    finally:
        holder.kill()
        holder.communicate()
    code, _, err = cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-1")
    assert code == 0
    assert f"note: the lock of process {holder.pid} (" in err
    assert "was taken over" in err


def test_models_that_differ_in_anything_are_kept_apart(cli: Cli, folder: Path) -> None:
    base = ("unlearn", "gradient_ascent", "--out", folder)
    assert cli(*base, "--forget", "random:0.1")[0] == 0
    assert cli(*base, "--set", "epochs=2")[0] == 0
    assert cli(*base, "--seed", 3)[0] == 0
    assert cli(*base, "--no-retain")[0] == 0
    assert len(weights(folder)) == 5


def test_references_are_trained_ahead_of_an_audit_and_extended(cli: Cli, folder: Path) -> None:
    train = ("references", "--out", folder, "--workers", 0, "--references")
    code, out, _ = cli(*train, 4, "--json")
    assert code == 0
    facts = json.loads(out)
    (pool,) = facts["pools"]
    assert pool["megabytes"] > 0
    assert {key: pool[key] for key in ("fingerprint", "references", "with_weights", "samples", "used")} == {
        "fingerprint": facts["fingerprint"],
        "references": 4,
        "with_weights": 4,
        "samples": 400,
        "used": True,
    }
    before = snapshot(folder)
    code, out, _ = cli(*train, 6)
    assert code == 0
    assert out.startswith(f"{pool['fingerprint']}: 6 references over 400 samples, 6 with weights, ")
    after = snapshot(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2 * 3
    made = {one: one.stat().st_mtime_ns for one in folder.rglob("member-*")}
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")[0] == 0
    assert cli("audit", "--out", folder, "--references", 6, "--retrained", 2, "--workers", 0)[0] == 0
    assert {one: one.stat().st_mtime_ns for one in folder.rglob("member-*")} == made
    code, out, _ = cli(*train, 4, "--no-keep-weights", "--json")
    assert json.loads(out)["pools"][0]["with_weights"] == 2  # of the four that were asked for, none
    assert cli(*train, 4, "--no-keep-weights", "--json")[1] == out
    beside = Path(shutil.copytree(folder / "references" / pool["fingerprint"], folder / "references" / "beside"))
    facts = read_sealed_json(beside / "pool.json")
    write_sealed_json(beside / "pool.json", facts | {"architecture_sha256": "0" * 64})
    told = [line.partition("; ")[2] for line in cli(*train, 4)[1].splitlines() if line.startswith("beside: ")]
    assert told == ["not this folder's: the architecture as built"]


CLUSTER = """
from concurrent.futures import ThreadPoolExecutor


class Counted(ThreadPoolExecutor):
    def submit(self, fn, /, *args):
        with open("calls.txt", "a") as file:
            print(fn.__name__, args[2], file=file)
        return super().submit(fn, *args)


def four():
    return Counted(4)
"""


def test_references_and_shadows_are_made_by_an_executor_of_ones_own(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "my_cluster.py").write_text(CLUSTER)
    monkeypatch.chdir(here)
    given = ("--executor", "my_cluster:four")
    code, _, err = cli("references", "--out", folder, "--references", 4, *given)
    assert code == 0, err
    assert (here / "calls.txt").read_text().splitlines() == [f"make_elsewhere {one}" for one in range(4)]
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.3")[0] == 0
    code, out, err = cli("audit", "--out", folder, "--references", 6, "--retrained", 0, "--shadows", "--json", *given)
    assert code == 0, err
    calls = [f"make_elsewhere {one}" for one in (*range(4), *range(4, 6), *range(6))]
    assert (here / "calls.txt").read_text().splitlines() == calls
    assert "ulira" in json.loads(out)["models"][1]["attacks"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--executor", "nowhere:make"), "got 'nowhere:make', which cannot be imported (No module named 'nowhere')"),
        (("--executor", "builtins:list"), "expected an executor with `submit`, got list from builtins:list; name a"),
        (
            ("--executor", "concurrent.futures:ThreadPoolExecutor", "--workers", "2"),
            "expected workers or an executor, got workers=2 and an executor; leave one out",
        ),
    ],
)
def test_an_executor_that_is_none_is_refused_before_any_work(
    cli: Cli, folder: Path, options: tuple[str, ...], problem: str
) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.3")[0] == 0
    before = snapshot(folder)
    for command in ("references", "audit"):
        code, out, err = cli(command, "--out", folder, "--references", 4, *options)
        assert (code, out) == (1, "")
        assert problem in err
    assert snapshot(folder) == before


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
    assert {one["name"]: one["settings"] for one in results["attacks"]}["rmia"]["form"] == "taylor"
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


@pytest.fixture
def random_labels(tmp_path: Path) -> list[object]:
    """A training on inputs and labels of which all that can be learnt is learnt by heart."""
    generator = np.random.default_rng(0)
    arrays = {f"{part}_x": generator.random((count, 30)) for part, count in (("train", 200), ("test", 60))}
    arrays |= {f"{part}_y": generator.integers(0, 2, count) for part, count in (("train", 200), ("test", 60))}
    np.savez(tmp_path / "random.npz", **arrays)  # pyright: ignore[reportArgumentType]
    options = ["--model", "mlp", "--options", '{"features": 30, "classes": 2, "hidden": [64]}', "--epochs", 60]
    return ["train", "--data", tmp_path / "random.npz", *options, "--batch-size", 32]


def test_coins_are_tossed_forgotten_and_tested(cli: Cli, tmp_path: Path, random_labels: list[object]) -> None:
    out = tmp_path / "run"
    assert cli(*random_labels, "--out", out, "--coins", 100)[0] == 0
    sides = json.loads((out / "coins.json").read_text(encoding="utf-8"))
    assert cli("unlearn", "gradient_ascent", "--out", out, "--forget", "coins", "--set", "learning_rate=1e-6")[0] == 0
    code, text, _ = cli("audit", "--out", out, "--references", 6, "--retrained", 2, "--workers", 0)
    assert code == 0
    found = json.loads(first(out).results.read_text(encoding="utf-8"))["coin_flips"]
    assert (found["heads"], found["tails"]) == (len(sides["heads"]), len(sides["tails"]))
    p_values = {one["name"]: one["p_value"] for one in found["models"]}
    assert p_values["original"] < 0.01
    assert p_values["gradient_ascent"] < 0.01  # it has hardly moved
    assert all(value > 0.01 for name, value in p_values.items() if name.startswith("retrain"))
    assert f"100 coins, {len(sides['heads'])} heads" in text
    assert "retrained ones guess half of the coins" in text


def test_noise_is_planted_forgotten_and_tested(cli: Cli, tmp_path: Path, random_labels: list[object]) -> None:
    out = tmp_path / "run"
    assert cli(*random_labels, "--out", out, "--noise", 100, "--noise-scale", 0.5)[0] == 0
    assert cli("unlearn", "gradient_ascent", "--out", out, "--forget", "noise", "--set", "learning_rate=1e-6")[0] == 0
    code, text, _ = cli("audit", "--out", out, "--references", 4, "--retrained", 2, "--workers", 0)
    assert code == 0
    found = json.loads(first(out).results.read_text(encoding="utf-8"))["planted_noise"]
    p_values = {one["name"]: one["p_value"] for one in found["models"]}
    assert p_values["original"] < 0.001
    assert p_values["gradient_ascent"] < 0.001  # it has hardly moved
    assert all(value > 0.01 for name, value in p_values.items() if name.startswith("retrain"))
    assert "noise planted in 100 samples" in text
    assert "z is standard normal. A mean score of 0.249 would be found" in text


def test_models_are_inspected(cli: Cli, folder: Path) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")[0] == 0
    before = weights(folder)
    inspect = ("inspect", "--out", folder, "--retrained", 2, "--epochs", 1)
    code, out, _ = cli(*inspect)
    assert code == 0
    found = json.loads(first(folder).inspection.read_text(encoding="utf-8"))
    for one in found["models"]:
        assert one["name"] in out
        assert one["probe"]["low"] <= one["probe"]["value"] <= one["probe"]["high"]
        assert 0 <= one["zrf"] <= 1
    assert {one["name"] for one in found["models"]} >= {"original", "gradient_ascent"}
    assert before.items() <= weights(folder).items()
    code, out, _ = cli(*inspect, "--json")
    assert code == 0
    assert json.loads(out) == found


def test_an_inspection_that_cannot_be_made_is_refused(cli: Cli, folder: Path) -> None:
    refused(cli("inspect", "--out", folder), "a forget set", "none")
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    before = snapshot(folder)
    refused(cli("inspect", "--out", folder, "--epochs", 0), "epochs >= 1", "got 0")
    refused(cli("inspect", "--out", folder, "--learning-rate", 0), "a learning rate above 0", "0.0")
    assert snapshot(folder) == before


def test_a_model_that_has_no_shadows_is_named(cli: Cli, mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert cli("train", "--out", out, "--data", mine, "--shards", 2, "--epochs", 2)[0] == 0
    assert cli("unlearn", "sisa", "--out", out, "--forget", "random:0.3")[0] == 0
    code, text, _ = cli("audit", "--out", out, "--references", 6, "--retrained", 0, "--workers", 0, "--shadows")
    assert code == 0
    assert "note: sisa was audited without U-LiRA" in text


def test_references_that_cannot_be_trained_are_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    before = snapshot(folder)
    refused(cli("references", "--out", folder, "--references", 5), "an even number of reference models", "5")
    refused(cli("references", "--out", tmp_path / "none"), "a folder made by `obliviate train`", "without workspace")
    assert snapshot(folder) == before


# ------------------------------------------------------------------------------------------- bad inputs

NOT_FINITE = np.full((300, 28, 28), 0.5, dtype=np.float32)
NOT_FINITE[17, 3, 3] = np.nan


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train_x": NOT_FINITE}, ["finite values", "NaN", "sample 17"]),
        ({"train_y": np.where(np.arange(300) == 4, -1, 0)}, ["labels in 0 … ", "-1", "image-4"]),
        ({"train_y": np.zeros(299, dtype=int)}, ["as many targets as inputs", "299"]),
        ({"train_ids": np.array(["a"] * 300)}, ["without duplicates", "'a'"]),
        ({"test_x": np.zeros((100, 14, 14), dtype=np.uint8)}, ["one shape", "14"]),
    ],
    ids=["NaN", "negative label", "missing label", "duplicate ids", "other shape"],
)
def test_bad_data_are_refused_before_anything_is_written(
    cli: Cli, mine: Path, tmp_path: Path, changed: dict[str, np.ndarray], words: list[str], unchecked: None
) -> None:
    bad = altered(mine, tmp_path / "bad.npz", **changed)
    before = snapshot(tmp_path)
    refused(cli("train", "--out", tmp_path / "run", "--data", bad, *OPTIONS), *words)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "huge"], ["architecture of mlp, small_cnn", "'huge'"]),
        (["--model", "nowhere:build"], ["importable model", "nowhere:build"]),
        (["--options", '{"classes": 3}'], ["output of shape (2, 10)", "(2, 3)"]),
        (["--options", '{"size": 14}'], ["takes inputs of shape (2, 1, 28, 28)", "SmallCNN"]),
        (["--options", '{"colour": 3}'], ["options that small_cnn takes", "colour"]),
        (["--options", "classes=3"], ["JSON object", "'classes=3'"]),
        (["--options", "[3]"], ["JSON object", "'[3]'"]),
        (["--epochs", "0"], ["epochs above 0", "got 0"]),
        (["--coins", "4"], ["coins for 5 samples or more and fewer than all 300", "got 4"]),
        (["--coins", "300"], ["coins for 5 samples or more and fewer than all 300", "got 300"]),
        (["--noise", "0"], ["noise for 1 sample or more and fewer than all 300", "got 0"]),
        (["--noise", "300"], ["noise for 1 sample or more and fewer than all 300", "got 300"]),
        (["--noise", "9", "--noise-scale", "0"], ["sigma > 0", "got 0.0"]),
        (["--noise-scale", "0.5"], ["noise to be of scale 0.5", "add --noise N"]),
        (["--shards", "0"], ["shards above 0", "got 0"]),
        (["--shards", "200"], ["samples in each of 200 shards", "fewer shards"]),
        (["--learning-rate", "nan"], ["learning_rate above 0", "got nan"]),
        (["--data", "mnist"], ["a shipped set", "'mnist'"]),
    ],
    ids=lambda one: " ".join(one) if one[0].startswith("--") else "",
)
def test_a_bad_recipe_is_refused_before_anything_is_written(
    cli: Cli, mine: Path, tmp_path: Path, options: list[str], words: list[str], unchecked: None
) -> None:
    arguments = options if "--data" in options else [*options, "--data", mine]
    refused(cli("train", "--out", tmp_path / "run", *arguments), *words)
    assert snapshot(tmp_path) == {}


EVERYTHING = ",".join(f"image-{one}" for one in range(300))


@pytest.mark.parametrize(
    ("forget", "words"),
    [
        ("image-1,image-300", ["ids of these 300 samples", "'image-300'"]),
        ("image-1,image-1,image-300", ["1 of 2 that are none", "1 not known ('image-300')"]),
        ("", ["at least one id", "none"]),
        (",", ["at least one id", "none"]),
        (EVERYTHING, ["smaller than the training set", "all 300 samples"]),
        ("random:0", ["a share of the training set in (0, 1)", "0.0"]),
        ("random:1.5", ["a share of the training set in (0, 1)", "1.5"]),
        ("random:nan", ["a share of the training set in (0, 1)", "nan"]),
        ("random:some", ["random:SHARE", "'random:some'"]),
        ("class:10", ["a class of the training set (0 with ", ", 9 with ", "'10'"]),
        ("class:shirt", ["a class of the training set (0 with ", "'shirt'"]),
        ("@/nowhere/ids.txt", ["a text file", "/nowhere/ids.txt"]),
        ("coins", ["a folder with coins", "without"]),
        ("noise", ["a folder with noise", "without"]),
        ("owner:w21", ["owners, in column 'owner', of these 300 samples", "1 not known ('w21')"]),
        ("owner:", ["the name of an owner", "none"]),
        ("where:ownr == 'w1'", ["a column of owner", "'ownr'; did you mean 'owner'?"]),
        ("where:owner = 'w1'", ["a condition such as ", "use columns, numbers, "]),
        ("where:owner == 'x'", ["a condition that some of the 300 training samples meet", "none of them meets"]),
        ("where:owner != 'x'", ["a condition that some of the 300 training samples meet", "all 300 meet"]),
        ("where:__import__('os').system('true') == 0", ["columns, numbers, ", "Call"]),
        ("ownr:w1", ["ids of these 300 samples, or a rule (", "'ownr:w1'; did you mean 'owner:'?"]),
        ("memorised:0.1", ["references in ", "none", "run `obliviate references --out "]),
        ("mislabelled:5", ["references in ", "none", "run `obliviate references --out "]),
        ("memorised:1.5", ["memorised with a share in (0, 1)", "1.5"]),
        ("mislabelled:few", ["mislabelled:SHARE", "'mislabelled:few'"]),
    ],
    ids=[
        "unknown",
        "duplicate",
        "empty",
        "comma",
        "everything",
        "none",
        "too many",
        "NaN",
        "word",
        "class",
        "name",
        "no file",
        "no coins",
        "no noise",
        "no such owner",
        "no owner",
        "no such column",
        "no condition",
        "none meets",
        "all meet",
        "code",
        "misspelt",
        "no references",
        "none either",
        "share",
        "no number",
    ],
)
def test_a_bad_forget_set_is_refused_before_anything_is_written(
    cli: Cli, folder: Path, forget: str, words: list[str]
) -> None:
    before = snapshot(folder)
    for dry_run in ([], ["--dry-run"]):
        refused(cli("unlearn", "amun", "--out", folder, "--forget", forget, *dry_run), *words)
    assert snapshot(folder) == before


def test_tuning_prints_every_trial_and_keeps_how_the_settings_were_chosen(cli: Cli, folder: Path) -> None:
    asked = (
        "unlearn",
        "fine_tune",
        "--out",
        folder,
        "--forget",
        "random:0.2",
        "--set",
        "learning_rate=3.0",
        "--set",
        "epochs=2",
    )
    before = snapshot(folder)
    refused(cli(*asked, "--tune", "1"), "a budget of at least 2 trials", "1")
    refused(cli("unlearn", "retrain", "--out", folder, "--forget", "random:0.2", "--tune", "3"), "to tune", "retrain")
    code, out, _ = cli(*asked, "--tune", "3", "--dry-run")
    assert code == 0
    plan = "Tuning: up to 3 trials around learning_rate=3, epochs=2, judged by 40 unseen samples"
    assert plan in " ".join(out.split())
    assert snapshot(folder) == before

    code, out, _ = cli(*asked, "--tune", "3", "--json")
    assert code == 0
    facts = json.loads(out)
    trials, chosen = facts["tuning"]["trials"], facts["tuning"]["chosen"]
    assert (len(trials), facts["tuning"]["judge"]) == (3, "40 unseen samples")
    assert trials[0]["settings"] == {"learning_rate": 3.0, "epochs": 2}
    assert trials[chosen]["score"]["total"] == min(trial["score"]["total"] for trial in trials if trial["score"])
    assert f"learning_rate={trials[chosen]['settings']['learning_rate']}," in facts["method"]
    (path,) = folder.rglob("models/1-fine_tune*.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest["settings"]["tuning"] == facts["tuning"]
    assert manifest["settings"]["method"]["settings"]["learning_rate"] == trials[chosen]["settings"]["learning_rate"]
    assert manifest["settings"]["tuned_from"]["settings"]["learning_rate"] == 3.0
    assert not list(folder.rglob("work"))

    after = snapshot(folder)
    code, out, _ = cli(*asked, "--tune", "3")
    assert (code, snapshot(folder)) == (0, after)
    rows = [line.split() for line in out.splitlines()]
    numbered = [row for row in rows if row and row[0] in {"1", "2", "3"}]
    assert [row[-1] == "chosen" for row in numbered] == [place == chosen for place in range(3)]
    assert "Tuned in " in out
    assert "fine_tune (tuned): done in" in out


def test_a_model_that_was_tuned_by_teachers_says_so(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.2", "--teachers", "4")
    Workspace.open(folder).teachers(4, workers=0)  # as the command does, in this process
    code, out, _ = cli(*asked, "--tune", "2", "--json")
    assert code == 0
    assert json.loads(out)["tuning"]["judge"] == "4 teachers and 40 unseen samples"
    (path,) = folder.rglob("models/1-fine_tune*.json")
    (pool,) = (folder / "teachers").iterdir()
    assert json.loads(path.read_text(encoding="utf-8"))["settings"]["teachers"] == pool.name
    assert cli(*asked, "--json")[0] == 0  # untuned, fine_tune needs no teachers
    assert len(list(folder.rglob("models/1-fine_tune*.json"))) == 2


def test_a_budget_makes_a_method_as_long_as_it_pays_for(cli: Cli, folder: Path) -> None:
    asked = ("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.2")
    epochs = Workspace.open(folder).recipe.epochs
    code, out, _ = cli(*asked, "--budget", "50%", "--json")
    told = json.loads(out)
    assert code == 0
    assert f"epochs={epochs // 2}, " in told["method"]
    share = (epochs // 2) / epochs
    assert told["notes"] == {"budget": 0.5, "expected_share": pytest.approx(share, abs=0.01), "epochs": epochs // 2}
    code, out, _ = cli(*asked, "--budget", "0.5")
    assert code == 0
    assert (
        f"budget: 50 % of a retraining, of which {100 * share:.0f} % were expected to be taken: epochs={epochs // 2}"
        in out
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget", "0"), "expected a share of a retraining such as 15% or 0.15, got '0'"),
        (("--budget", "some"), "expected a share of a retraining such as 15% or 0.15, got 'some'"),
        (("--budget", "0.1%"), "shortest run of fine_tune here, about"),
        (("--budget", "20%", "--tune", "2"), "expected trials or a budget, got both"),
        (("--budget", "20%", "--dry-run"), "expected --budget or --dry-run, got both"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_and_leaves_nothing(
    cli: Cli, folder: Path, options: tuple[str, ...], message: str
) -> None:
    before = snapshot(folder)
    code, _, err = cli("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.2", *options)
    assert code != 0
    assert message in " ".join(err.split())
    assert snapshot(folder) == before


def test_a_dry_run_shows_what_would_be_forgotten_and_changes_nothing(cli: Cli, folder: Path) -> None:
    before = snapshot(folder)
    asked = ("unlearn", "fine_tune", "--out", folder, "--set", "epochs=1", "--dry-run")
    code, out, _ = cli(*asked, "--forget", "owner:w7,w3")
    assert code == 0
    assert "Would forget 30 of 300 training samples (owner w7, w3)" in out
    rows = [line.split() for line in out.splitlines()]
    assert [row[0] for row in rows if row and row[0].startswith("image-")] == [
        f"image-{10 * one + end}" for one in range(0, 10, 2) for end in (3, 7)
    ]
    assert ["w3", "15", "15"] in rows
    assert ["w7", "15", "15"] in rows
    assert "and 20 more; --json lists all ids" in out
    assert "Method: FineTune(epochs=1, " in out
    assert "; approximate; needs labels, retain: given" in " ".join(out.split())
    code, out, _ = cli(*asked, "--forget", "where:owner in ('w7', 'w3')", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["ids"] == [f"image-{one}" for one in range(300) if one % 20 in {3, 7}]
    assert (told["forget"], told["train"], told["rule"]) == (30, 300, "where owner in ('w7', 'w3')")
    assert sum(one["forget"] for one in told["classes"]["first"]) == 30
    assert told["samples"][0] == {"id": "image-3", "class": told["samples"][0]["class"], "owner": "w3"}
    assert (told["exact"], told["needs"]) == (False, ["labels", "retain"])
    refused(cli(*asked), "a forget set", "none")
    refused(cli(*asked, "--forget", "owner:w3", "--no-retain"), "a retain set for fine_tune", "none")
    assert snapshot(folder) == before


def test_relative_settings_are_shown_and_kept_in_numbers(cli: Cli, folder: Path) -> None:
    relative = [("optimizer", "recipe"), ("learning_rate", "1.5x"), ("epochs", "20%"), ("batch_size", "null")]
    given = [text for name, value in relative for text in ("--set", f"{name}={value}")]
    asked = ("unlearn", "fine_tune", "--out", folder, "--forget", "random:0.1", *given)
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
    assert by_adam == repr(FineTune(epochs=1, **numbers | {"optimizer": "adamw", "learning_rate": 0.0015}))


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


def test_samples_of_one_owner_can_be_shown_to_leak_and_no_more_by_references_alone(cli: Cli, folder: Path) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "owner:w3,w5,w7")[0] == 0
    assert json.loads(first(folder).request.read_text(encoding="utf-8"))["grouped"] is True
    audit = ("audit", "--out", folder, "--references", 8, "--workers", 0, "--json", "--retrained")
    alone, retrained = (json.loads(cli(*audit, count)[1]) for count in (0, 2))
    assert alone["settings"]["one_sided"] is True
    assert {one["verdict"] for one in alone["models"]} <= {"leaks", "utility lost", "not resolvable with these data"}
    assert retrained["settings"]["one_sided"] is False


def test_the_most_memorised_are_forgotten_by_what_the_references_say(cli: Cli, folder: Path) -> None:
    assert cli("references", "--out", folder, "--references", 4, "--workers", 0)[0] == 0
    before = snapshot(folder)
    asked = ("unlearn", "gradient_ascent", "--out", folder)
    for rule, heading in (("memorised", "memorised"), ("mislabelled", "agreed")):
        code, out, _ = cli(*asked, "--forget", f"{rule}:12", "--dry-run")
        assert code == 0
        assert heading in out
        assert "and 2 more; --json lists all ids" in out
        code, out, _ = cli(*asked, "--forget", f"{rule}:0.04", "--dry-run", "--json")
        told = json.loads(out)
        assert len(told["ids"]) == 12
        ranks = [one[heading] for one in told["samples"]]
        assert ranks == sorted(ranks, reverse=rule == "memorised")
    assert snapshot(folder) == before
    assert cli(*asked, "--forget", "mislabelled:12")[0] == 0
    before = snapshot(folder)
    code, _, err = cli("audit", "--out", folder, "--references", 6, "--retrained", 0, "--workers", 0)
    assert code == 1
    assert "at least 2 retrained models where 4 references chose what to forget, got 0; these are" in err
    assert snapshot(folder) == before
    assert read_sealed_json(first(folder).request) == {
        "format": FORMAT,
        "before_sha256": ids_sha256([]),
        "rule": "the 12 whose labels 4 references contradict most",
        "references": 4,
        "ids": told["ids"],
    }


def test_a_forget_file_that_is_not_text_is_refused(cli: Cli, folder: Path, mine: Path) -> None:
    before = snapshot(folder)
    refused(cli("unlearn", "amun", "--out", folder, "--forget", f"@{mine}"), "a text file", "mine.npz")
    assert snapshot(folder) == before


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
    ids=lambda one: " ".join(one) if "--set" in one or len(one) == 1 else "",
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


def test_a_first_request_that_is_refused_does_not_choose_the_forget_set(cli: Cli, folder: Path) -> None:
    before = snapshot(folder)
    for method, *settings in (["sisa"], ["fine_tune", "--set", "learning_rate=1e30"]):
        code, out, err = cli("unlearn", method, "--out", folder, "--forget", "class:7", *settings)
        assert (code, out) == (1, "")
        assert "error: expected " in err
        assert snapshot(folder) == before
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.1")[0] == 0


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


def test_a_method_without_a_forget_set_is_refused(cli: Cli, folder: Path) -> None:
    before = snapshot(folder)
    refused(cli("unlearn", "amun", "--out", folder), "a forget set", "none")
    refused(cli("audit", "--out", folder), "a forget set", "none")
    assert snapshot(folder) == before


def test_another_forget_set_is_refused(cli: Cli, folder: Path) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-1")
    before = snapshot(folder)
    refused(cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "image-2"), "the forget set that", "another")
    assert snapshot(folder) == before


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
    ids=lambda one: " ".join(one) if len(one) > 1 and one[0].startswith("--") else "",
)
def test_an_audit_that_cannot_be_made_is_refused_before_any_training(
    cli: Cli, folder: Path, options: list[str], words: list[str]
) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    before = snapshot(folder)
    refused(cli("audit", "--out", folder, *options), *words)
    assert snapshot(folder) == before


# ------------------------------------------------------------------------------------------- bad folders


@pytest.mark.parametrize("command", [["train", "--data", "MINE"], ["demo"]], ids=lambda one: one[0])
def test_a_folder_that_cannot_be_written_to_is_refused(
    cli: Cli, mine: Path, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    arguments = [str(mine) if one == "MINE" else one for one in command]
    refused(cli(*arguments, "--out", tmp_path / "file" / "run"), "a folder that can be written to", "file/run")
    assert snapshot(tmp_path) == before


def test_a_folder_with_other_things_in_it_is_refused(cli: Cli, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    before = snapshot(tmp_path)
    refused(cli("train", "--out", tmp_path / "run", "--data", mine), "an empty or new folder", "thesis.tex")
    for command in (["unlearn", "amun"], ["audit"]):
        refused(
            cli(*command, "--out", tmp_path / "run"), "a folder made by `obliviate train`", "without workspace.json"
        )
    refused(cli("report", "--out", tmp_path / "run"), "a forget set", "none")
    assert snapshot(tmp_path) == before


def test_another_recipe_in_the_same_folder_is_refused(cli: Cli, folder: Path, mine: Path) -> None:
    before = snapshot(folder)
    refused(cli("train", "--out", folder, "--data", mine, "--epochs", 4), "the same", "another recipe")
    refused(cli("train", "--out", folder, "--data", mine, *OPTIONS, "--seed", 4), "the same", "another seed")
    assert snapshot(folder) == before


def test_data_that_changed_since_are_refused(cli: Cli, mine: Path, tmp_path: Path) -> None:
    data = Path(shutil.copy(mine, tmp_path / "data.npz"))
    cli("train", "--out", tmp_path / "run", "--data", data, "--epochs", 1)
    with np.load(mine) as file:
        altered(mine, data, train_y=(file["train_y"] + 1) % 10)
    before = snapshot(tmp_path)
    refused(cli("unlearn", "amun", "--out", tmp_path / "run", "--forget", "image-1"), "the data that", "sha256")
    assert snapshot(tmp_path) == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("models/original.safetensors", cut, ["expected sha256", "damaged"]),
        ("models/original.safetensors", flip, ["expected sha256", "damaged"]),
        ("models/original.safetensors", Path.unlink, ["expected a file at", "none that can be read"]),
        ("models/original.json", cut, ["JSON", "damaged"]),
        ("models/original.json", lambda path: path.write_text("{}"), ["format obliviate.checkpoint/2", "None"]),
        ("models/original.json", lambda path: path.write_text("[]"), ["a JSON object", "list"]),
        (
            "models/original.json",
            lambda path: write_sealed_json(path, {"format": "obliviate.checkpoint/2"}),
            ["the fields of", "foreign"],
        ),
        ("workspace.json", lambda path: path.write_text("{"), ["JSON", "damaged"]),
        ("workspace.json", lambda path: path.write_text("[]"), ["a JSON object", "list"]),
        ("workspace.json", lambda path: path.write_text("{}"), ["workspace"]),
    ],
    ids=["cut", "flipped bit", "no weights", "cut manifest", "empty manifest", "list", "few fields", "a", "b", "c"],
)
def test_a_damaged_or_foreign_file_is_refused(
    cli: Cli, folder: Path, name: str, spoil: Callable[[Path], object], words: list[str]
) -> None:
    Requests(folder).ask(Request(1, "ids", ["image-1"]))
    spoil(folder / name)
    before = snapshot(folder)
    refused(cli("unlearn", "gradient_ascent", "--out", folder), *words)
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


def test_a_retrained_model_whose_loss_is_not_finite_leaves_no_model(cli: Cli, folder: Path) -> None:
    cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")
    before = set(weights(folder))
    result = cli("unlearn", "fine_tune", "--out", folder, "--set", "learning_rate=1e30")
    refused(result, "a finite loss", "lower the learning rate")
    assert set(weights(folder)) == before


# ------------------------------------------------------------------------------------------- interruptions


def test_an_interrupted_command_is_resumed_with_the_same_weights(
    cli: Cli, whole: Path, mine: Path, tmp_path: Path, interrupt: Callable[..., list[int]]
) -> None:
    forget = ("unlearn", "fine_tune", "--set", "epochs=3")
    reference = Path(shutil.copytree(whole, tmp_path / "reference"))
    assert cli(*forget, "--out", reference, "--forget", "random:0.1")[0] == 0

    epochs = interrupt(2, 6)
    run = tmp_path / "run"
    train = ("train", "--out", run, "--data", mine, *OPTIONS)
    code, _, err = cli(*train)
    assert code == 130
    assert "run the same command again" in err
    assert not (run / "models" / "original.json").exists()
    assert cli(*train)[0] == 0
    assert epochs == [4]  # the epoch that was finished is not done again
    assert cli(*forget, "--out", run, "--forget", "random:0.1")[0] == 130
    assert cli(*forget, "--out", run)[0] == 0
    assert weights(run) == weights(reference)
    assert not list(run.rglob("work"))


def test_a_damaged_state_starts_over_and_the_command_says_so(
    cli: Cli, whole: Path, mine: Path, tmp_path: Path, interrupt: Callable[..., list[int]]
) -> None:
    interrupt(2)
    train = ("train", "--out", tmp_path / "run", "--data", mine, *OPTIONS)
    assert cli(*train)[0] == 130
    state = tmp_path / "run" / "work" / "original" / "train.pt"
    flip(state)
    code, _, err = cli(*train)
    assert code == 0
    assert f"note: the saved state {state} was damaged; that stage starts over (expected contents with" in err
    assert weights(tmp_path / "run") == weights(whole)


INTERRUPTED = """
import os, signal
from obliviate.cli import main
from obliviate.training.run import Run

fit, epochs = Run.fit, []

def interrupted(self, *arguments, **options):
    epochs.append(1)
    if len(epochs) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return fit(self, *arguments, **options)

Run.fit = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell makes its children ignore it
main()
"""


def test_control_c_stops_a_process_that_then_goes_on_to_the_same_weights(mine: Path, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    train = ["train", "--data", str(mine), "--epochs", "5", "--out"]
    command = [sys.executable, "-c", INTERRUPTED, *train, str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.endswith("interrupted; run the same command again to go on where it stopped\n")
    assert "Traceback" not in done.stderr
    assert not (run / "models" / "original.json").exists()
    assert cli(*train, run)[0] == 0
    assert cli(*train, tmp_path / "uninterrupted")[0] == 0
    assert weights(run) == weights(tmp_path / "uninterrupted")


# ------------------------------------------------------------------------------------------- help and documentation


def test_help_answers_at_once_and_without_torch() -> None:
    check = "import sys\ntry:\n    from obliviate.cli import main; main(['--help'])\nfinally:\n"
    check += "    print('HEAVY', [one for one in ('torch', 'numpy', 'scipy', 'matplotlib') if one in sys.modules])"
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "HEAVY []" in done.stdout
    assert min(times) < 0.5


def commands() -> list[str]:
    return [name for name in app if not name.startswith("-")]


def test_what_is_asked_of_the_machine_reaches_every_run(
    cli: Cli, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Compute] = []
    begin = Run.__init__

    def noting(self: Run, *arguments: Any, **options: Any) -> None:
        seen.append(Compute.current())
        begin(self, *arguments, **options)

    monkeypatch.setattr(Run, "__init__", noting)
    asked = ["--out", tmp_path / "run", "--device", "cpu", "--precision", "float32", "--evaluation-batch", "50"]
    commands = [
        ["train", "--data", mine, "--model", "mlp", "--epochs", "1"],
        ["unlearn", "fine_tune", "--forget", "random:0.1", "--set", "epochs=1"],
        ["references", "--references", "4", "--workers", "0"],
        ["inspect", "--retrained", "1", "--epochs", "1"],
    ]
    for command in commands:
        seen.clear()
        code, _, error = cli(*command, *asked)
        assert code == 0, error
        assert set(seen) == {Compute(device="cpu", precision="float32", evaluation_batch=50)}
    assert Compute.current() == Compute()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:99"], "expected a device of cpu"),
        (["--evaluation-batch", "0"], "expected evaluation_batch of 1 or more, got 0"),
        (["--loader-workers", "-1"], "expected loader_workers of 0 or more, got -1"),
    ],
)
@pytest.mark.parametrize("command", ["train", "demo"])
def test_what_the_machine_cannot_do_is_refused(
    command: str, options: list[str], message: str, cli: Cli, tmp_path: Path
) -> None:
    code, _, error = cli(command, "--out", tmp_path / "run", *options)
    assert code == 1
    assert message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented_and_has_help(name: str, cli: Cli) -> None:
    documents = [(ROOT / one).read_text(encoding="utf-8") for one in ("README.md", "docs/cli.md")]
    assert any(f"obliviate {name}" in one for one in documents)
    code, out, _ = cli(name, "--help")
    assert code == 0
    assert name in out


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented(name: str, cli: Cli) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = text.partition("## Options")[2].partition("\n## ")[0]
    of_all = set(re.findall(r"--[a-z-]+", table.partition("| command |")[0]))
    documented, command = {"--method", *of_all}, ""  # those of every command, and the argument of one
    for first, options in re.findall(r"^\| (?:`(\w+)` )?\| (.*?) \|", table, re.M):
        command = first or command
        if command == name:
            documented |= set(re.findall(r"--[a-z-]+", options))
    documented |= {f"--{option[len('--no-') :]}" for option in documented if option.startswith("--no-")}
    offered = {option for one in app[name].assemble_argument_collection() for option in one.names}
    assert {one for one in offered if one.startswith("--")} <= documented


def test_the_commands_are_these() -> None:
    work = {"demo", "train", "unlearn", "references", "audit", "inspect"}
    assert set(commands()) == work | {"report", "compare", "methods", "attacks", "status"}


def test_methods_are_listed_with_their_sources_and_defaults(cli: Cli) -> None:
    code, out, _ = cli("methods", "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)] == [cls.name for cls in BUILT_IN]
    keys = {"name", "summary", "source", "needs", "exact", "tasks", "defaults", "when_none"}
    assert all(set(one) == keys for one in json.loads(out))


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_list_of_methods_fits_the_terminal_and_is_whole(
    columns: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = type(new_console())
    monkeypatch.setattr("obliviate.cli.printing.new_console", lambda: console(width=columns))
    code, table, _ = cli("methods")
    assert code == 0
    assert max(map(len, table.splitlines())) <= min(columns, 120)
    words = " ".join(table.split())
    for one in map(describe, BUILT_IN):
        assert f"{one['name']} {'exact' if one['exact'] else 'approximate'}; needs " in words
        for text in (one["summary"], one["source"], *(f"{key}={value}" for key, value in one["defaults"].items())):
            assert text in words
        for case, values in one["when_none"].items():
            assert all((str(value) if case == "always" else f"{value} {case}") in words for value in values.values())


@pytest.mark.parametrize(
    "arguments", [["forget"], ["train"], ["train", "--out", "x", "--epochs", "many"], ["audit", "-q"]]
)
def test_misused_options_are_errors_without_a_traceback(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*arguments)
    assert code in {1, 2}
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_exit_codes_reach_the_shell(mine: Path, tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "report", "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: expected a forget set in ")


def test_a_model_of_ones_own_is_found_in_the_folder_where_the_command_is_run(mine: Path, tmp_path: Path) -> None:
    """The installed command has its own folder on the path, and not this one."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "my_models.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    start = f"import sys; sys.path[0] = {str(tmp_path / 'bin')!r}; from obliviate.cli import main; main()"
    command = [sys.executable, "-c", start, "train", "--data", str(mine), "--epochs", "1", "--model", "my_models:build"]
    done = subprocess.run([*command, "--out", "run"], cwd=tmp_path / "own", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition("error")[2]) == (0, "")


# ------------------------------------------------------------------------------------------- hyperparameters


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], FineTune()),
        (["epochs=3", "learning_rate=0.05"], FineTune(epochs=3, learning_rate=0.05)),
        (["learning_rate=1"], FineTune(learning_rate=1.0)),
        (["learning_rate=1e-3"], FineTune(learning_rate=1e-3)),
    ],
)
def test_hyperparameters_are_converted(assignments: list[str], expected: FineTune) -> None:
    made = configure(FineTune, assignments)
    assert made == expected
    assert repr(made) == repr(expected)  # the integer 1 becomes 1.0, so that equal settings have one name


def test_optional_hyperparameters_are_converted() -> None:
    made = configure(AMUN, ["saliency=0.5", "search=pgd", "keep_forget=true", "radius=1", "epochs=2"])
    assert repr(made) == repr(AMUN(saliency=0.5, search="pgd", keep_forget=True, radius=1.0, epochs=2))
    assert configure(AMUN, ["saliency=null"]) == AMUN()
    assert configure(AMUN, ["optimizer=adamw"]) == AMUN(optimizer="adamw")
    assert configure(AMUN, ["learning_rate=1.5x"]) == AMUN(learning_rate="1.5x")
    with pytest.raises(MethodError, match=r'expected optimizer to be a text \(the default is "recipe"\), got .null.'):
        configure(AMUN, ["optimizer=null"])


OTHER = ["keep_forget=1", "keep_forget=yes", "epochs=true", "epochs=2.5", "saliency=half"]


@pytest.mark.parametrize("text", OTHER)
def test_values_of_another_type_are_refused(text: str) -> None:
    name = text.partition("=")[0]
    with pytest.raises(MethodError, match=f"expected {name} to be "):
        configure(AMUN, [text])


@pytest.mark.parametrize("text", ["clip_norm=true", "epochs=2.0", "clip_norm=null", 'batch_size="64"'])
def test_values_of_another_type_than_the_default_are_refused(text: str) -> None:
    with pytest.raises(MethodError, match=r"to be a (whole )?number.* \(the default is "):
        configure(GradientAscent, [text])
