import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from obliviate.errors import DataError
from obliviate.types import Batch, Layout, as_tensor


def batch() -> Batch:
    return Batch(torch.arange(6.0).view(3, 2), torch.tensor([2, 0, 1]), np.array(["a", "b", "c"]))


def test_a_batch_moves_to_a_device_with_its_ids():
    moved = batch().to(torch.device("meta"))
    assert moved.x.device.type == moved.y.device.type == "meta"
    assert moved.ids.tolist() == ["a", "b", "c"]
    assert len(moved) == 3


def test_a_batch_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch().x = torch.zeros(3, 2)  # pyright: ignore[reportAttributeAccessIssue]


def test_types_and_shapes_are_checked_in_tests():
    """Guards the option in pyproject.toml: without it, every shape annotation goes unchecked."""
    with pytest.raises(TypeCheckError):
        Batch(torch.zeros(3, 2), torch.zeros(3), np.zeros((2, 2)))
    with pytest.raises(TypeCheckError):
        Batch([1.0, 2.0], torch.zeros(2), np.array(["a", "b"]))  # pyright: ignore[reportArgumentType]


ROW = {"ids": [5, 3, 0], "mask": [1, 1, 0], "pixels": torch.rand(2, 2), "age": 40}


@pytest.mark.parametrize("names", [["ids"], ["ids", "mask"], ["pixels", "age"], ["age", "mask", "pixels"]])
def test_a_layout_takes_apart_what_it_put_together(names: list[str]) -> None:
    layout = Layout.of(ROW, names)
    x = torch.stack([layout.pack(ROW), layout.pack(ROW)])
    parts = layout.unpack(x)
    assert list(parts) == names
    for name, part in parts.items():
        wanted = as_tensor(ROW, name)
        assert part.dtype == wanted.dtype
        assert torch.equal(part, torch.stack([wanted, wanted]))


@pytest.mark.parametrize(
    ("names", "change", "message"),
    [
        (
            ["ids", "mask"],
            {"mask": [1, 1]},
            r"^expected inputs of one shape, .* got ids \(3,\), mask \(2,\); fill them up$",
        ),
        (["pixels", "age"], {"pixels": torch.rand(2, 3)}, r"^expected pixels of shape \(2, 2\) .* got \(2, 3\)"),
        (["pixels", "age"], {"age": 2**24 + 1}, r"^expected whole numbers up to 16777216 in age, .* got 16777217"),
        (["pixels", "age"], {"age": 0.5}, r"^expected age of shape \(\) and type torch.int64, .*torch.float32"),
        (["ids"], {"ids": object()}, r"^expected numbers in the field 'ids', got object .*; pass item="),
    ],
)
def test_a_row_of_another_layout_is_refused(names: list[str], change: dict[str, Any], message: str) -> None:
    layout = Layout.of(ROW, names)
    with pytest.raises(DataError, match=message):
        layout.pack(ROW | change)
