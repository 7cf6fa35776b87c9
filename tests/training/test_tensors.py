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
    for found in (tensors, load_file(path)):
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[name], value) for name, value in TENSORS.items())


def test_every_flipped_bit_is_found_or_is_of_no_effect(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.arange(5.0)}, {"seconds": "1.5"})
    content = path.read_bytes()
    found = 0
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            tensors, facts = load_tensors(path)
        except CheckpointError:
            found += 1
        else:
            assert facts == {"seconds": "1.5"}
            assert torch.equal(tensors["a"], torch.arange(5.0))
    assert found > 7.5 * len(content)


def test_tensors_without_a_hash_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"seconds": "1"})
    with pytest.raises(CheckpointError, match=r"expected tensors with sha256 of their own, got \w+… in .*; the"):
        load_tensors(path)
