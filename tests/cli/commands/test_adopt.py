"""`obliviate adopt` and `obliviate export`: a model comes in, forgets, and goes out again."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from command_line import Cli, refused, snapshot
from obliviate.data.samples import Samples
from user_files import write_rows

MODULE = """
import torch
from torch import nn


def build():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def train(model, dataset, *, seed, device):
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(20):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.to(device)), y.to(device)).backward()
            optimizer.step()
    return model
"""


@pytest.fixture
def place(tiny: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of the user's, data, and the weights of a model that was trained on them elsewhere."""
    write_rows(tmp_path / "rows.npz", tiny)
    batch = tiny.everything()
    (tmp_path / "theirs.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("theirs", None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch.x[:40]), batch.y[:40]).backward()
            optimizer.step()
    torch.save({"epoch": 9, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, "theirs.pth")
    yield tmp_path
    sys.modules.pop("theirs", None)


ADOPT = ("adopt", "theirs.pth", "--data", "rows.npz", "--model", "theirs:build")


def test_an_adopted_model_forgets_without_a_recipe_and_says_what_needs_one(cli: Cli, place: Path) -> None:
    code, out, err = cli(*ADOPT, "--out", "run")
    assert code == 0, err
    assert out.startswith("40 rows of 6 numbers in [0, 1], 3 classes")
    assert "Adopted theirs.pth into run; it gets " in out
    assert "note: how it was trained is not known" in out
    code, out, err = cli("unlearn", "fine_tune", "--out", "run", "--forget", "s01,s02", "--trust", "--json")
    assert code == 0, err
    assert json.loads(out)["notes"]["found_learning_rate"] > 0
    wanted = "a recipe or a training function to train theirs:build by"
    for command in (["unlearn", "retrain"], ["audit"], ["references"]):
        refused(cli(*command, "--out", "run", "--trust"), wanted, "--recipe or --train-function")
    code, out, _ = cli("unlearn", "amun", "--out", "run", "--dry-run", "--trust")
    assert code == 0


def test_with_a_training_function_it_is_audited_as_if_it_had_been_trained_here(
    cli: Cli, place: Path, without_page: None
) -> None:
    own = ("--train-function", "theirs:train")
    refused(cli(*ADOPT, *own, "--out", "run"), "--trust for 'theirs:train'")
    assert not (place / "run").exists()
    assert cli(*ADOPT, *own, "--out", "run", "--trust")[0] == 0
    out = cli("unlearn", "fine_tune", "--out", "run", "--forget", "random:0.5", "--trust")[1]
    assert "; now `obliviate audit --out run --trust`" in out
    options = ("--references", "8", "--retrained", "2", "--workers", "0", "--shadows", "--trust", "--json")
    code, out, err = cli("audit", "--out", "run", *options)
    assert code == 0, err
    results = json.loads(out)
    assert [model["role"] for model in results["models"]] == ["original", "unlearned", "retrained", "retrained"]
    assert results["recipe"]["train"] == "theirs:train"
    assert not [note for note in results["notes"] if "no shadows" in note]


def test_with_a_recipe_file_it_is_retrained_by_that(cli: Cli, place: Path) -> None:
    (place / "recipe.toml").write_text('epochs = 2\noptimizer = "RMSprop"\nlearning_rate = 0.01\n', encoding="utf-8")
    assert cli(*ADOPT, "--out", "run", "--recipe", "recipe.toml")[0] == 0
    code, out, err = cli("unlearn", "retrain", "--out", "run", "--forget", "s01", "--trust", "--json")
    assert code == 0, err
    assert json.loads(out)["method"] == "Retrain()"


def test_adopting_it_again_goes_on_and_other_weights_are_refused(cli: Cli, place: Path) -> None:
    assert cli(*ADOPT, "--out", "run")[0] == 0
    before = snapshot(place)
    assert cli(*ADOPT, "--out", "run")[0] == 0
    assert snapshot(place) == before
    state = torch.load("theirs.pth", weights_only=True)["state_dict"]
    torch.save({name: value + 1 for name, value in state.items()}, "theirs.pth")
    refused(cli(*ADOPT, "--out", "run"), "the same", "another adopted")
    options = ("--data", "rows.npz", "--model", "theirs:build")
    refused(cli("train", "--out", "run", *options), "the same", "another adopted, recipe")


def test_weights_and_data_that_do_not_fit_are_refused_before_anything_is_written(cli: Cli, place: Path) -> None:
    before = snapshot(place)
    refused(
        cli("adopt", "theirs.pth", "--data", "rows.npz", "--model", "mlp", "--out", "run"),
        "expected the weights of MLP in theirs.pth, got others", "missing", "unexpected",
    )  # fmt: skip
    refused(cli("adopt", "theirs.pth", "--data", "digits", "--model", "theirs:build", "--out", "run"), "takes inputs")
    refused(cli("adopt", "none.pth", "--data", "rows.npz", "--model", "theirs:build", "--out", "run"), "no such file")
    after = {name: digest for name, digest in snapshot(place).items() if "__pycache__" not in name}
    assert after == before


def test_a_model_that_does_not_know_the_samples_is_told(cli: Cli, place: Path) -> None:
    state = torch.load("theirs.pth", weights_only=True)["state_dict"]
    torch.save({name: value.flip(0) for name, value in state.items()}, "theirs.pth")  # classes in another order
    code, _, err = cli(*ADOPT, "--out", "run")
    assert code == 0
    assert "does not know the targets better than in another order: are inputs scaled" in " ".join(err.split())


@pytest.mark.parametrize("name", ["out.safetensors", "out.pt"])
def test_a_model_goes_out_under_plain_names(cli: Cli, place: Path, name: str) -> None:
    assert cli(*ADOPT, "--out", "run")[0] == 0
    assert cli("export", "run", "original", name, "--trust")[0] == 0
    state = load_file(name) if name.endswith("safetensors") else torch.load(name, weights_only=True)
    tensors = torch.load("theirs.pth", weights_only=True)["state_dict"]
    assert {f"module.{key}": value.tolist() for key, value in state.items()} == {
        key: value.tolist() for key, value in tensors.items()
    }
    refused(cli("export", "run", "original", name, "--trust"), "a new file", name)
    refused(cli("export", "run", "nothing", "other.pt", "--trust"), "the id of a model", "original", "'nothing'")


def test_how_arrays_were_read_is_told_where_a_model_does_not_take_them(cli: Cli, place: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{part}_x": rng.random((n, 20, 3), dtype=np.float32) for part, n in (("train", 12), ("test", 6))}
    labels = {"train_y": np.arange(12) % 3, "test_y": np.arange(6) % 3}
    np.savez("steps.npz", **arrays, **labels)  # pyright: ignore[reportArgumentType]
    adopt = ("adopt", "theirs.pth", "--data", "steps.npz", "--model", "theirs:build", "--out", "run")
    code, out, err = cli(*adopt)
    assert (code, out) == (1, "")
    assert (
        'note: arrays of 20 × 3 are read as sequences of 3 channels, 20 long, channels first; an array `layout` of "as'
        in err
    )
    assert "error: expected a model that takes inputs of shape (2, 3, 20)" in err
    assert not (place / "run").exists()
