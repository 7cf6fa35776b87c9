"""What part of the data is used, through the folder and the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from obliviate import cli
from obliviate.errors import WorkspaceError
from obliviate.training.recipe import Recipe
from obliviate.workspace import Portion, Workspace

RECIPE = Recipe(model="mlp", model_options={"features": 4, "classes": 2, "hidden": [3]}, epochs=1)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """60 training and 10 test rows, one of which is a copy of a training row."""
    x, y = np.random.default_rng(0).random((69, 4)), np.arange(69) % 2
    path = tmp_path / "rows.npz"
    np.savez(path, train_x=x[:60], train_y=y[:60], test_x=np.concatenate([x[60:], x[:1]]), test_y=np.arange(10) % 2)
    return str(path)


def created(
    folder: Path, source: str, seed: int = 0, *, train_size: int | None = None, holdout_size: int | None = None
) -> Workspace:
    return Workspace.create(
        folder,
        source=source,
        recipe=RECIPE,
        seed=seed,
        portion=Portion(train_size=train_size, holdout_size=holdout_size),
    )


def test_a_reopened_folder_has_the_same_part_of_the_data(tmp_path: Path, source: str):
    data = created(tmp_path / "run", source, seed=3, train_size=20, holdout_size=8).data
    again = Workspace.open(tmp_path / "run").data
    assert data.holdout is not None
    assert again.holdout is not None
    assert (len(again.train), len(again.holdout)) == (20, 8)
    assert again.train.ids.tolist() == data.train.ids.tolist()
    assert again.holdout.ids.tolist() == data.holdout.ids.tolist()


def test_a_folder_of_another_part_is_refused(tmp_path: Path, source: str):
    created(tmp_path / "run", source, train_size=20)
    created(tmp_path / "run", source, train_size=20)
    for sizes in ({}, {"train_size": 21}, {"train_size": 20, "holdout_size": 1}):
        with pytest.raises(WorkspaceError, match=r"^expected a new folder, .* with another .*(train|holdout)_size"):
            created(tmp_path / "run", source, **sizes)


def test_ids_in_a_file_may_hold_spaces(tmp_path: Path):
    x, y, names = np.random.default_rng(0).random((9, 4)), np.arange(9) % 2, [f"my file {i}.png" for i in range(6)]
    np.savez(tmp_path / "a.npz", train_x=x[:6], train_y=y[:6], test_x=x[6:], test_y=y[6:], train_ids=names)
    (tmp_path / "ids.txt").write_text("my file 2.png\r\n\n  my file 4.png  \n")
    split = created(tmp_path / "run", str(tmp_path / "a.npz")).choose(f"@{tmp_path / 'ids.txt'}")
    assert split.forget.ids.tolist() == ["my file 2.png", "my file 4.png"]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_draws_a_part_and_tells_what_was_left_out(
    tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str], as_json: bool
):
    options = ["--model", "mlp", "--options", '{"features": 4, "classes": 2}', "--epochs", "1"]
    sizes = ["--train-size", "59", "--holdout-size", "1"]
    with pytest.raises(SystemExit) as done:
        cli.main(["train", "--data", source, "--out", str(tmp_path / "run"), *options, *sizes] + ["--json"] * as_json)
    assert done.value.code in {0, None}
    note, said = "test: 1 of 10 samples left out, copies of training samples", capsys.readouterr().out
    if as_json:
        facts = json.loads(said)
        assert (facts["train"], facts["notes"]) == (59, [note])
    else:
        assert said.startswith("59 rows of 4 numbers in [0, 1], 2 classes (0, 1)\n")
        assert f"\nnote: {note}\nTrained on 59 samples " in said
