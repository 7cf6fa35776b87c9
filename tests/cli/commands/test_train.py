"""`obliviate train`, and what of it is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import OPTIONS, Cli, altered, refused, snapshot
from obliviate.cli import app
from obliviate.training.compute import Compute
from obliviate.training.run import Run


def test_class_weights_go_into_the_recipe(cli: Cli, mine: Path, tmp_path: Path) -> None:
    listed = ",".join(map(str, range(1, 11)))
    with np.load(mine) as file:
        counts = np.bincount(file["train_y"], minlength=10)
    balanced = (300 / (10 * np.maximum(counts, 1))).tolist()
    for name, text, expected in (("a", listed, list(range(1, 11))), ("b", "balanced", balanced)):
        assert cli("train", "--out", tmp_path / name, "--data", mine, *OPTIONS, "--class-weights", text)[0] == 0
        facts = json.loads((tmp_path / name / "workspace.json").read_text(encoding="utf-8"))
        assert facts["recipe"]["class_weights"] == pytest.approx(expected)
    arguments = ("train", "--out", tmp_path / "c", *OPTIONS)
    refused(cli(*arguments, "--data", mine, "--class-weights", "1,2"), "one class weight a class, 10", "got 2")
    refused(cli(*arguments, "--data", mine, "--class-weights", "1,x"), "a number a class", "got '1,x'")
    refused(cli(*arguments, "--data", mine, "--class-weights", listed.replace("1,", "0,", 1)), "class weights above 0")
    refused(cli("train", "--out", tmp_path / "d", "--data", "diabetes", "--class-weights", "1"), "got regression")


NOT_FINITE = np.full((300, 14, 14), 0.5, dtype=np.float32)


NOT_FINITE[17, 3, 3] = np.nan


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train_x": NOT_FINITE}, ["finite values", "NaN", "sample 17"]),
        ({"train_y": np.where(np.arange(300) == 4, -1, 0)}, ["class numbers from 0 on in train_y", "-1"]),
        ({"train_y": np.zeros(299, dtype=int)}, ["as many targets as inputs", "299"]),
        ({"train_ids": np.array(["a"] * 300)}, ["without duplicates", "'a'"]),
        ({"test_x": np.zeros((100, 12, 12), dtype=np.uint8)}, ["one shape", "12"]),
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
        (["--options", '{"size": 28}'], ["takes inputs of shape (2, 1, 14, 14)", "SmallCNN"]),
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
    ids=lambda words: " ".join(words) if words[0].startswith("--") else "",
)
def test_a_bad_recipe_is_refused_before_anything_is_written(
    cli: Cli, mine: Path, tmp_path: Path, options: list[str], words: list[str], unchecked: None
) -> None:
    arguments = options if "--data" in options else [*options, "--data", mine]
    refused(cli("train", "--out", tmp_path / "run", *arguments), *words)
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("command", [["train", "--data", "MINE"], ["demo"]], ids=lambda words: words[0])
def test_a_folder_that_cannot_be_written_to_is_refused(
    cli: Cli, mine: Path, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    arguments = [str(mine) if word == "MINE" else word for word in command]
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


def test_a_folder_in_which_nothing_came_of_the_training_takes_the_lower_rate_that_the_error_asks_for(
    cli: Cli, mine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train = ("train", "--out", out, "--data", mine, "--epochs", 1)
    code, printed, error = cli(*train, "--learning-rate", 1e30)
    assert code == 1
    assert printed.startswith("300 grey images of 14×14 in [0, 1], 10 classes")  # before the training, which fails
    assert "expected a finite loss" in error
    assert not list(out.rglob("*.safetensors"))
    code, _, error = cli(*train, "--learning-rate", 0.05)
    assert code == 0, error
    assert list(out.rglob("*.safetensors"))


def test_data_that_changed_since_are_refused(cli: Cli, mine: Path, tmp_path: Path) -> None:
    data = Path(shutil.copy(mine, tmp_path / "data.npz"))
    cli("train", "--out", tmp_path / "run", "--data", data, "--epochs", 1)
    with np.load(mine) as file:
        altered(mine, data, train_y=(file["train_y"] + 1) % 10)
    before = snapshot(tmp_path)
    refused(cli("unlearn", "amun", "--out", tmp_path / "run", "--forget", "image-1"), "the data that", "sha256")
    assert snapshot(tmp_path) == before


def test_a_model_of_ones_own_is_found_in_the_folder_where_the_command_is_run(mine: Path, tmp_path: Path) -> None:
    """The installed command has its own folder on the path, and not this one."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "my_models.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(196, 10))\n"
    )
    drawn = "atexit.register(lambda: print('matplotlib' in sys.modules))"
    start = (
        f"import atexit, sys; {drawn}; sys.path[0] = {str(tmp_path / 'bin')!r}; from obliviate.cli import main; main()"
    )
    command = [sys.executable, "-c", start, "train", "--data", str(mine), "--epochs", "1", "--model", "my_models:build"]
    done = subprocess.run([*command, "--out", "run"], cwd=tmp_path / "own", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition("error")[2]) == (0, "")
    assert done.stdout.endswith("False\n")  # who trains does not wait for what draws reports


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


PAPER = """
epochs = 4
learning_rate = 0.05
weight_decay = 1e-4
schedule = "step"
milestones = [2, 3]

[optimizer_options]
nesterov = true
"""


def test_a_recipe_comes_from_a_file_and_options_go_before_it(cli: Cli, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(PAPER, encoding="utf-8")
    options = ("--recipe", tmp_path / "recipe.toml", "--epochs", 5, "--momentum", 0.8, "--gamma", 0.5)
    code, _, err = cli("train", "--out", tmp_path / "run", "--data", mine, "--model", "mlp", *options)
    assert code == 0, err
    recipe = json.loads((tmp_path / "run" / "workspace.json").read_text(encoding="utf-8"))["recipe"]
    wanted = {"epochs": 5, "learning_rate": 0.05, "weight_decay": 1e-4, "schedule": "step", "milestones": [2, 3]}
    wanted |= {"gamma": 0.5, "momentum": 0.8, "optimizer": "sgd", "optimizer_options": {"nesterov": True}}
    assert {name: recipe[name] for name in wanted} == wanted


def test_every_setting_of_a_training_can_be_said(cli: Cli, mine: Path, tmp_path: Path) -> None:
    options = ["--epochs", 3, "--optimizer", "RMSprop", "--optimizer-options", '{"alpha": 0.9}', "--schedule", "step"]
    options += ["--milestones", "1,2", "--learning-rate", 0.001, "--weight-decay", 0, "--augmentation", "crop_flip"]
    code, _, err = cli("train", "--out", tmp_path / "run", "--data", mine, "--model", "small_cnn", *options)
    assert code == 0, err
    recipe = json.loads((tmp_path / "run" / "workspace.json").read_text(encoding="utf-8"))["recipe"]
    assert (recipe["optimizer"], recipe["milestones"], recipe["augmentation"]) == ("RMSprop", [1, 2], "crop_flip")
    refused(cli("train", "--out", tmp_path / "b", "--data", mine, "--milestones", "1,x"), "epochs with commas", "'1,x'")
    (tmp_path / "code.toml").write_text('model = "nowhere:build"', encoding="utf-8")
    refused(cli("train", "--out", tmp_path / "b", "--recipe", tmp_path / "code.toml"), "--trust for 'nowhere:build'")


def test_after_a_loss_that_was_not_finite_the_same_folder_takes_a_lower_rate(
    cli: Cli, mine: Path, tmp_path: Path
) -> None:
    arguments = ("train", "--out", tmp_path / "run", "--data", mine, "--model", "mlp", "--epochs", 1)
    code, out, err = cli(*arguments, "--learning-rate", 1e30)
    assert code == 1
    assert "Trained" not in out
    assert "expected a finite loss" in err
    assert "lower the learning rate" in err
    assert cli(*arguments, "--learning-rate", 0.01)[0] == 0
    refused(cli(*arguments, "--learning-rate", 0.02), "the same", "another recipe")  # now something is trained
