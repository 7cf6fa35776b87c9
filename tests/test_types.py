import dataclasses

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from obliviate.types import Batch


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
