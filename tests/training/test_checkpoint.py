import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate.errors import CheckpointError
from obliviate.models.mlp import MLP
from obliviate.requests.manifest import FORMAT, Manifest, read_manifest
from obliviate.training import checkpoint
from obliviate.training.checkpoint import load, save, weights_sha256


def network(seed: int = 0) -> nn.Sequential:
    """With buffers, an integer one among them, and weights in channels-last order."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(2))
    model(torch.randn(4, 2, 5, 5))
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def saved(path: Path, model: nn.Module) -> Manifest:
    return save(
        path,
        model,
        role="original",
        method="train",
        seed=7,
        recipe={"model": "mlp", "epochs": 3},
        data_sha256="ab" * 32,
        ids=["a", "é"],
        settings={"rate": 0.1},
        seconds=1.5,
    )


def test_weights_buffers_and_manifest_come_back_bit_by_bit(tmp_path: Path):
    model, other = network(0), network(1)
    manifest = saved(tmp_path / "m.safetensors", model)
    assert weights_sha256(other) != weights_sha256(model)
    assert load(tmp_path / "m.safetensors", other) == manifest == read_manifest(tmp_path / "m.safetensors")
    state = other.state_dict()
    assert len(state) == 9
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert weights_sha256(other) == manifest.weights_sha256
    assert manifest.ids == ["a", "é"]
    assert (manifest.role, manifest.method, manifest.seed, manifest.seconds) == ("original", "train", 7, 1.5)
    assert manifest.recipe == {"model": "mlp", "epochs": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "m.safetensors"]


def test_tied_weights_come_back(tmp_path: Path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight

    model, other = Tied(), Tied()
    saved(tmp_path / "m.safetensors", model)
    load(tmp_path / "m.safetensors", other)
    assert weights_sha256(model) == weights_sha256(other)


def test_the_hash_of_weights_sees_names_values_types_shapes_and_buffers_but_not_layout():
    model = network()
    first = weights_sha256(model)
    assert weights_sha256(model.to(memory_format=torch.contiguous_format)) == first  # pyright: ignore[reportCallIssue]
    changed = network()
    with torch.no_grad():
        changed[0].weight[0, 0, 0, 0] += 1e-6  # pyright: ignore[reportIndexIssue, reportOperatorIssue]
    buffers = network()
    buffers[1].get_buffer("num_batches_tracked").add_(1)
    renamed = nn.Sequential()
    for i, layer in enumerate(network()):
        renamed.add_module(f"layer{i}", layer)
    reshaped = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
    for part in reshaped:
        nn.init.ones_(part.weight)
    variants = [network(), changed, buffers, renamed, network().double(), *reshaped]
    assert len({weights_sha256(variant) for variant in variants}) == len(variants)


def flip(place: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 1
        path.write_bytes(content)

    return damage


def manifest_with(**changed: Any) -> Callable[[Path], None]:
    """Another manifest that is sealed like any other."""

    def damage(path: Path) -> None:
        beside = path.with_suffix(".json")
        values = read_sealed_json(beside) | changed
        write_sealed_json(beside, {key: value for key, value in values.items() if value is not None})

    return damage


def manifest_text(text: str) -> Callable[[Path], object]:
    return lambda path: path.with_suffix(".json").write_text(text, encoding="latin-1")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "byte flipped in the header": (flip(0.0), "expected sha256"),
    "byte flipped in the weights": (flip(0.9), "expected sha256"),
    "last byte flipped": (flip(0.9999), "expected sha256"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-5]), "expected sha256"),
    "empty": (lambda path: path.write_bytes(b""), "expected sha256"),
    "no weights": (lambda path: path.unlink(), "expected a file at"),
    "no manifest": (lambda path: path.with_suffix(".json").unlink(), "expected a checkpoint with its manifest m.json"),
    "manifest is a folder": (
        lambda path: (path.with_suffix(".json").unlink(), path.with_suffix(".json").mkdir()),
        "expected JSON in",
    ),
    "manifest truncated": (manifest_text('{"format": "obliv'), "expected JSON in"),
    "manifest in another encoding": (manifest_text('{"é": 1}'), "expected JSON in"),
    "foreign list": (manifest_text("[1, 2]"), "expected a JSON object in"),
    "foreign JSON": (manifest_text('{"model": "gpt"}'), f"expected format {FORMAT}, got None"),
    "later format": (manifest_with(format="obliviate.checkpoint/3"), "got 'obliviate.checkpoint/3'"),
    "nested without end": (manifest_text("[" * 100_000), "expected JSON in"),
    "role edited": (
        lambda path: (beside := path.with_suffix(".json")).write_text(
            beside.read_text("utf-8").replace('"original"', '"retrained"'), "utf-8"
        ),
        "expected contents with sha256",
    ),
    "hash removed": (
        lambda path: (beside := path.with_suffix(".json")).write_text(
            json.dumps({key: value for key, value in json.loads(beside.read_text("utf-8")).items() if key != "sha256"})
        ),
        "expected the hash of the contents",
    ),
    "another role": (manifest_with(role="baseline"), "expected role to be str, got 'baseline'"),
    "role is a list": (manifest_with(role=[1]), "expected role to be str, got [1]"),
    "seed is a text": (manifest_with(seed="7"), "expected seed to be int, got '7'"),
    "ids are numbers": (manifest_with(ids=[1]), "expected ids to be list[str], got [1]"),
    "seconds below 0": (manifest_with(seconds=-1.0), "expected seconds to be float, got -1.0"),
    "field missing": (manifest_with(ids=None), f"expected the fields of {FORMAT}, got others"),
    "field unknown": (manifest_with(more=1), f"expected the fields of {FORMAT}, got others"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_and_foreign_checkpoints_are_refused_and_the_model_is_left_alone(tmp_path: Path, name: str):
    damage, message = DAMAGE[name]
    path, model = tmp_path / "m.safetensors", network(1)
    before = weights_sha256(model)
    saved(path, network(0))
    damage(path)
    with pytest.raises(CheckpointError, match=r"(?s)^expected .*, got .*; .") as error:
        load(path, model)
    assert message in str(error.value)
    assert weights_sha256(model) == before


def test_a_whole_file_that_is_no_safetensors_is_refused(tmp_path: Path):
    path = tmp_path / "m.safetensors"
    saved(path, network())
    path.write_bytes(b"not tensors")
    manifest_with(file_sha256=checkpoint.sha256_of(path))(path)
    with pytest.raises(CheckpointError, match=r"^expected a safetensors file, got "):
        load(path, network())


@pytest.mark.parametrize(
    "other",
    [
        MLP(features=4, classes=3, hidden=(6,)),
        MLP(features=4, classes=2, hidden=(5,)),
        MLP(features=4, classes=3, hidden=(5, 5)),
        MLP(features=4, classes=3, hidden=(5,)).double(),
        nn.Linear(4, 3),
    ],
    ids=["first layer", "last layer", "more layers", "double precision", "other names"],
)
def test_weights_of_another_architecture_are_refused_and_none_is_copied(tmp_path: Path, other: nn.Module):
    before = weights_sha256(other)
    saved(tmp_path / "m.safetensors", MLP(features=4, classes=3, hidden=(5,)))
    with pytest.raises(
        CheckpointError, match=rf"^expected weights of {type(other).__name__}, got others .*; load them"
    ):
        load(tmp_path / "m.safetensors", other)
    assert weights_sha256(other) == before


def test_a_write_that_fails_leaves_the_old_checkpoint_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, old = tmp_path / "m.safetensors", network(0)
    saved(path, old)

    def half(state: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(OSError, match="no space left"):
        saved(path, network(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "m.safetensors"]
    restored = network(2)
    load(path, restored)
    assert weights_sha256(restored) == weights_sha256(old)
    monkeypatch.undo()

    with pytest.raises(ValueError, match="JSON compliant"):
        save(
            tmp_path / "new.safetensors",
            old,
            role="original",
            method="train",
            seed=0,
            recipe={},
            data_sha256="",
            ids=[],
            settings={"rate": float("nan")},
            seconds=0.0,
        )
    assert not (tmp_path / "new.json").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with pytest.raises(CheckpointError, match=r"^expected a checkpoint with its manifest"):
        load(tmp_path / "new.safetensors", network())
