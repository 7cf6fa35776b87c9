"""Weights in the files that others leave: what is read of them, how names are made to fit, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from obliviate.errors import CheckpointError
from obliviate.models.huggingface import huggingface_classifier
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.weights import load_into, read_weights, write_weights


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture
def trained() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return net()


def named(model: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: value for name, value in model.state_dict().items()}


def loaded(path: Path) -> str:
    model = net()
    load_into(model, read_weights(path), what=str(path))
    return weights_sha256(model)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "model.net."])
@pytest.mark.parametrize("inside", [None, "state_dict", "model", "model_state_dict", "net"])
def test_state_dicts_of_wrappers_are_read(tmp_path: Path, trained: nn.Module, prefix: str, inside: str | None) -> None:
    state = named(trained, prefix)
    content: Any = state if inside is None else {"epoch": 3, inside: state, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "a.ckpt")
    assert loaded(tmp_path / "a.ckpt") == weights_sha256(trained)


def test_the_one_state_dict_of_a_file_is_read_under_any_key(tmp_path: Path, trained: nn.Module) -> None:
    adam = torch.optim.Adam(trained.parameters()).state_dict()
    torch.save({"epoch": 3, "weights": named(trained), "opt": adam, "best": torch.tensor(0.9)}, tmp_path / "a.pt")
    assert loaded(tmp_path / "a.pt") == weights_sha256(trained)
    torch.save({"student": named(trained), "teacher": named(trained)}, tmp_path / "b.pt")
    wanted = r"^expected one state dict in .*, got 2 \(student, teacher\); load the file in Python and choose, "
    with pytest.raises(CheckpointError, match=wanted):
        read_weights(tmp_path / "b.pt")


def test_a_whole_model_is_refused_by_its_class_in_our_own_words(tmp_path: Path, trained: nn.Module) -> None:
    torch.save(trained, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError) as refusal:
        read_weights(tmp_path / "whole.pt")
    assert "other objects (torch.nn.modules.container.Sequential), which would run code" in str(refusal.value)
    assert str(refusal.value).endswith("save `model.state_dict()` in place of `model`")


def test_safetensors_and_the_folders_of_a_trainer_are_read(tmp_path: Path, trained: nn.Module) -> None:
    save_file(named(trained, "model."), tmp_path / "model.safetensors")
    assert loaded(tmp_path / "model.safetensors") == loaded(tmp_path) == weights_sha256(trained)
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    parts = list(named(trained).items())
    files = {"a.safetensors": dict(parts[:3]), "b.safetensors": dict(parts[3:])}
    for name, state in files.items():
        save_file(state, sharded / name)
    index = {"weight_map": {key: name for name, state in files.items() for key in state}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert loaded(sharded) == weights_sha256(trained)
    (sharded / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"^expected b\.safetensors beside .*, got no such file; "):
        read_weights(sharded)


def test_a_prefix_that_the_model_itself_has_is_put_on(trained: nn.Module) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = net()

    model = Wrapped()
    load_into(model, named(trained), what="weights")
    assert weights_sha256(model.model) == weights_sha256(trained)


def test_tied_weights_that_are_written_once_are_read() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.embed.weight

    model, other = Tied(), Tied()
    load_into(model, {"embed.weight": other.embed.weight.detach()}, what="weights")
    assert model.head.weight.equal(other.embed.weight)


def test_what_does_not_fit_is_listed_and_the_model_left_as_it_was(trained: nn.Module) -> None:
    state = named(trained, "module.")
    state["module.extra"] = torch.ones(1)
    state["module.0.weight"] = torch.ones(9, 3)
    del state["module.2.bias"]
    model = net()
    before = weights_sha256(model)
    with pytest.raises(CheckpointError) as caught:
        load_into(model, state, what="mine.pth")
    message = str(caught.value)
    assert message.startswith("expected the weights of Sequential in mine.pth, got others: ")
    for part in (
        "1 missing ('2.bias')",
        "1 unexpected ('extra')",
        "0.weight (9, 3), not (4, 3)",
        "name the architecture",
    ):
        assert part in message
    assert weights_sha256(model) == before


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": Evil()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"^expected weights alone in .*, got a file with other objects .*; "):
        read_weights(tmp_path / "a.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], r"^expected a state dict in .*, got list; "),
        ({"epoch": 1}, r"^expected a state dict in .*, got keys 'epoch'; "),
        ({"weight": torch.tensor([float("inf")])}, r"^expected finite weights, got NaN or Inf in weight of "),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / "a.pt")


def test_files_of_others_than_torch_are_not_only_called_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weight=np.zeros(3))
    with pytest.raises(CheckpointError, match=r"it is damaged, or not written by `torch\.save`$"):
        read_weights(tmp_path / "a.npz")


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^expected weights in .*, got no such file; "):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match=r"^expected weights in .* \(model\.safetensors, .*got none of these; "):
        read_weights(tmp_path)
    for name in ("a.pt", "a.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(CheckpointError, match=r"^expected .*, got .*; "):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.pth"])
def test_what_is_written_is_read_by_plain_torch(tmp_path: Path, trained: nn.Module, name: str) -> None:
    write_weights(tmp_path / name, trained)
    assert loaded(tmp_path / name) == weights_sha256(trained)
    with pytest.raises(CheckpointError, match=r"^expected a new file, got .*; "):
        write_weights(tmp_path / name, trained)
    with pytest.raises(CheckpointError, match=r"^expected a file that ends in \.safetensors, \.pt, \.pth, got a\.h5; "):
        write_weights(tmp_path / "a.h5", trained)


@pytest.mark.filterwarnings("default")  # those of transformers are its own
def test_what_transformers_saves_is_read_into_our_wrapper(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    sizes = {"vocab_size": 20, "dim": 8, "hidden_dim": 16, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 8}
    models = [huggingface_classifier(config={"model_type": "distilbert", **sizes}, classes=3) for _ in range(2)]
    models[0].model.save_pretrained(tmp_path)  # pyright: ignore[reportCallIssue]
    assert weights_sha256(models[0]) != weights_sha256(models[1])
    load_into(models[1], read_weights(tmp_path), what="a Trainer's folder")
    assert weights_sha256(models[0]) == weights_sha256(models[1])
