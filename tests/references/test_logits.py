from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from obliviate.errors import AuditError
from obliviate.references.logits import StoredLogits, facts_of, write_logits


@pytest.fixture
def arrays() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)


@pytest.fixture
def paths(tmp_path: Path, arrays: np.ndarray) -> list[Path]:
    paths = [tmp_path / f"{one}.safetensors" for one in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        write_logits(path, torch.from_numpy(array), {"seconds": "1.5"})
    return paths


@pytest.fixture
def logits(paths: list[Path]) -> StoredLogits:
    return StoredLogits.open(paths, samples=7)


def test_it_reads_as_one_array_would(logits: StoredLogits, arrays: np.ndarray) -> None:
    assert (len(logits), logits.shape, logits[0].dtype) == (4, arrays.shape, np.float32)
    for member in (0, 3, -1):
        np.testing.assert_array_equal(logits[member], arrays[member])
    np.testing.assert_array_equal(np.stack(list(logits)), arrays)
    np.testing.assert_array_equal(np.stack(list(logits[1:3])), arrays[1:3])
    with pytest.raises(IndexError):
        logits[4]


def test_rows_are_selected_in_their_order_and_may_be_selected_again(logits: StoredLogits, arrays: np.ndarray) -> None:
    rows = logits.rows(np.array([5, 0, 5, 2]))
    assert rows.shape == (4, 4, 3)
    np.testing.assert_array_equal(np.stack(list(rows)), arrays[:, [5, 0, 5, 2]])
    np.testing.assert_array_equal(rows.rows(np.array([3, 1]))[2], arrays[2, [2, 0]])
    assert logits.shape == (4, 7, 3)


def test_nothing_but_the_heads_is_read_before_it_is_asked_for(
    logits: StoredLogits, paths: list[Path], arrays: np.ndarray
) -> None:
    write_logits(paths[2], torch.from_numpy(arrays[2] + 1), {})
    np.testing.assert_array_equal(logits[2], arrays[2] + 1)
    paths[3].unlink()
    view = logits.rows(np.array([0]))
    np.testing.assert_array_equal(view[0], arrays[0, :1])
    with pytest.raises(AuditError, match=r"expected the outputs of a model, got .*3.safetensors .*; delete the file"):
        view[3]


def test_facts_stand_beside_the_outputs(paths: list[Path]) -> None:
    assert facts_of(paths[0]) == {"seconds": "1.5"}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"weights": torch.zeros(7, 3)}, "the outputs of a model"),
        ({"logits": torch.zeros(6, 3)}, r"outputs of shape \(7, 3\), got \(6, 3\)"),
        ({"logits": torch.zeros(7, 4)}, r"outputs of shape \(7, 3\), got \(7, 4\)"),
        ({"logits": torch.zeros(7, 3, dtype=torch.float64)}, "outputs in float32, got F64"),
        ({"logits": torch.full((7, 3), torch.nan)}, "finite outputs, got NaN or Inf"),
        ({"logits": torch.full((7, 3), -torch.inf)}, "finite outputs, got NaN or Inf"),
        (None, "the outputs of a model"),
    ],
    ids=["other tensors", "other samples", "other classes", "other type", "NaN", "infinity", "cut short"],
)
def test_a_damaged_file_is_named_with_a_remedy_whenever_it_is_read(
    tensors: dict[str, torch.Tensor] | None, told: str, logits: StoredLogits, paths: list[Path]
) -> None:
    if tensors is None:
        paths[1].write_bytes(paths[1].read_bytes()[:-5])
    else:
        save_file(tensors, paths[1])
    told = rf"expected {told}.* in .*1\.safetensors|expected {told}, got .*1\.safetensors"
    with pytest.raises(AuditError, match=f"({told}).*; delete the file to train it again"):
        logits[1]
    if "finite" not in told:
        with pytest.raises(AuditError, match=f"({told}).*; delete the file to train it again"):
            StoredLogits.open(paths, samples=7)
