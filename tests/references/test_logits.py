from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from obliviate._util import files
from obliviate._util.files import sha256_of
from obliviate.errors import AuditError
from obliviate.references.logits import StoredLogits, write_logits


@pytest.fixture
def arrays() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32)


@pytest.fixture
def paths(tmp_path: Path, arrays: np.ndarray) -> list[Path]:
    paths = [tmp_path / f"{number}.safetensors" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        write_logits(path, torch.from_numpy(array))
    return paths


@pytest.fixture
def logits(paths: list[Path]) -> StoredLogits:
    return StoredLogits.open(paths, [sha256_of(path) for path in paths], samples=7)


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
    paths[3].unlink()
    view = logits.rows(np.array([0]))
    np.testing.assert_array_equal(view[0], arrays[0, :1])
    with pytest.raises(AuditError, match=r"expected the outputs of a model, got .*3.safetensors .*; delete the file"):
        view[3]


def test_a_file_is_hashed_once_as_long_as_it_is_the_same(
    logits: StoredLogits, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    digest = files.hashlib.file_digest
    monkeypatch.setattr(files, "SETTLED", -1)  # the files have just been written
    monkeypatch.setattr(files.hashlib, "file_digest", lambda file, name: hashed.append(file.name) or digest(file, name))
    for _ in range(3):
        _ = logits[0], logits.rows(np.array([1]))[0]
    assert hashed == [str(paths[0])]
    paths[0].write_bytes(paths[0].read_bytes())
    _ = logits[0], logits[1]
    assert hashed == [str(paths[0])] * 2 + [str(paths[1])]


def test_every_bit_of_the_outputs_is_checked(logits: StoredLogits, paths: list[Path]) -> None:
    content = paths[2].read_bytes()
    for place in range(len(content) - 7 * 3 * 4, len(content), 5):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        paths[2].write_bytes(flipped)
        with pytest.raises(AuditError, match=r"expected sha256 \w+…, got \w+… in .*2\.safetensors; .*delete the file"):
            logits[2]


@pytest.mark.parametrize(
    ("tensors", "message"),
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
    tensors: dict[str, torch.Tensor] | None, message: str, logits: StoredLogits, paths: list[Path]
) -> None:
    if tensors is None:
        paths[1].write_bytes(paths[1].read_bytes()[:-5])
    else:
        save_file(tensors, paths[1])
    sha256 = tuple(sha256_of(path) for path in paths)  # whatever the hashes say
    logits = replace(logits, sha256=sha256)
    message = rf"expected {message}.* in .*1\.safetensors|expected {message}, got .*1\.safetensors"
    with pytest.raises(AuditError, match=f"({message}).*; delete the file to train it again"):
        logits[1]
    if "finite" not in message:
        with pytest.raises(AuditError, match=f"({message}).*; delete the file to train it again"):
            StoredLogits.open(paths, sha256, samples=7)
