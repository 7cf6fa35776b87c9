"""What a model consists of is written and read whole, whatever wraps it."""

from typing import Any

import pytest
import torch
from torch import nn

from obliviate.errors import CheckpointError, RecipeError
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.state import load_state, state_of


class Noted(nn.Module):
    def __init__(self, note: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.note = note

    def get_extra_state(self) -> Any:
        return self.note

    def set_extra_state(self, state: Any) -> None:
        self.note = state


NOTES = [
    {"seen": 3, "names": ["a", "b"], 7: None},
    (1, 2.5, "x", True),
    b"\x00\xff",
    {"mean": (torch.arange(3), 1)},
    None,
]


@pytest.mark.parametrize("note", NOTES, ids=["mapping", "tuple", "bytes", "tensors", "none"])
def test_extra_state_comes_back_as_it_was(note: Any):
    model, other = Noted(note), Noted("something else")
    load_state(other, state_of(model))
    assert repr(other.note) == repr(note)
    assert weights_sha256(other) == weights_sha256(model)


def test_other_extra_state_is_another_model():
    model = Noted({"seen": 3})
    before = weights_sha256(model)
    model.note = {"seen": 4}
    assert weights_sha256(model) != before


def test_extra_state_that_would_have_to_be_run_is_refused():
    with pytest.raises(RecipeError, match=r"^expected extra state of numbers.*, got function in _extra_state; "):
        state_of(Noted(lambda: 1))


def test_damaged_extra_state_is_refused():
    state = state_of(Noted({"a": 1}))
    state["_extra_state"] = state["_extra_state"][:-1]
    with pytest.raises(CheckpointError, match="_extra_state is no extra state"):
        load_state(Noted(), state)


def test_wrapped_and_plain_models_have_one_state_and_read_each_other_s():
    model = nn.Sequential(nn.Linear(2, 2))
    wrapped = nn.DataParallel(torch.compile(model, backend="eager"))  # pyright: ignore[reportArgumentType]
    assert list(state_of(wrapped)) == list(state_of(model)) == ["0.weight", "0.bias"]
    assert weights_sha256(wrapped) == weights_sha256(model)
    fresh = nn.Sequential(nn.Linear(2, 2))
    load_state(fresh, {f"module._orig_mod.{name}": value for name, value in state_of(wrapped).items()})
    assert weights_sha256(fresh) == weights_sha256(model)
    load_state(nn.DataParallel(nn.Sequential(nn.Linear(2, 2))), state_of(model))


def test_other_weights_are_refused_and_the_model_stays():
    model = nn.Linear(2, 2)
    before = weights_sha256(model)
    for state, got in (
        ({"weight": torch.zeros(2, 2)}, "bias is missing"),
        ({**state_of(model), "gate": torch.zeros(1)}, "gate is unknown"),
        ({**state_of(model), "bias": torch.zeros(3)}, r"bias is torch.float32 \(3,\), not torch.float32 \(2,\)"),
    ):
        with pytest.raises(CheckpointError, match=got):
            load_state(model, state)
    assert weights_sha256(model) == before
