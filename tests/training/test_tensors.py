from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from obliviate.errors import CheckpointError
from obliviate.training.tensors import load_tensors, save_tensors

TENSORS = {
    "half": torch.ones(2, dtype=torch.bfloat16),
    "mask": torch.tensor([[True, False]]),
    "number": torch.tensor(3),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}


def test_tensors_and_facts_come_back_and_other_programs_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {"seconds": "1.5"})
    tensors, facts = load_tensors(path)
    assert facts == {"seconds": "1.5"}
    for loaded in (tensors, load_file(path)):
        assert loaded.keys() == TENSORS.keys()
        assert all(torch.equal(loaded[name], value) for name, value in TENSORS.items())


def test_every_flipped_bit_is_found_or_is_of_no_effect(
    tmp_path: Path, flip_bits: Callable[[Path], Iterator[int]]
) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.arange(5.0)}, {"seconds": "1.5"})
    size = path.stat().st_size
    refused = 0
    for _ in flip_bits(path):
        try:
            tensors, facts = load_tensors(path)
        except CheckpointError:
            refused += 1
        else:
            assert facts == {"seconds": "1.5"}
            assert torch.equal(tensors["a"], torch.arange(5.0))
    assert refused > 7.5 * size


def test_tensors_without_a_hash_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"seconds": "1"})
    with pytest.raises(CheckpointError, match=r"expected tensors with sha256 of their own, got \w+… in .*; the"):
        load_tensors(path)
