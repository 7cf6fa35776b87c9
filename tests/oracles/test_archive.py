"""The file of an oracle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from obliviate.errors import AuditError
from obliviate.oracles.archive import Archive
from obliviate.training.tensors import save_tensors


@pytest.fixture
def archive() -> Archive:
    generator = np.random.default_rng(0)
    return Archive(
        facts={"seed": 3},
        weights={"layer.weight": torch.ones(2, 2)},
        references=generator.normal(size=(4, 9, 2)).astype(np.float16),
        included=generator.random((4, 9)) < 0.5,
        retrained=generator.normal(size=(2, 9, 2)).astype(np.float16),
        answers=generator.normal(size=(5, 2)).astype(np.float16),
    )


def test_it_comes_back_as_it_was(archive: Archive, tmp_path: Path) -> None:
    archive.write(tmp_path / "a.safetensors")
    again = Archive.read(tmp_path / "a.safetensors")
    for name in ("references", "included", "retrained", "answers"):
        value = getattr(again, name)
        assert value.dtype == getattr(archive, name).dtype
        assert np.array_equal(value, getattr(archive, name))
    assert again.facts == archive.facts
    assert torch.equal(again.weights["layer.weight"], torch.ones(2, 2))


def test_outputs_that_are_too_great_for_half_precision_are_refused(archive: Archive, tmp_path: Path) -> None:
    greater = archive.references.copy()
    greater[1, 2, 0] = np.inf
    with pytest.raises(AuditError, match="without --half"):
        replace(archive, references=greater).write(tmp_path / "a.safetensors")
    assert not any(tmp_path.iterdir())


def test_another_file_with_a_hash_of_its_own_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", {"a": torch.ones(1)}, {"format": "another/1"})
    with pytest.raises(AuditError, match=r"expected format obliviate.oracle/1, got 'another/1'"):
        Archive.read(tmp_path / "a.safetensors")
