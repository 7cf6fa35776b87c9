"""Arrays that stay on disk: what is read of them, what memory that takes, and that they are what memory would hold."""

import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from obliviate import load_data
from obliviate.data.arrays import ArrayStore, is_mapped
from obliviate.data.formats import npy, npz
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError

MIB = 2**20


def on_disk(folder: Path, array: np.ndarray, mode: Any = "r") -> np.ndarray:
    path = folder / "x.npy"
    np.save(path, array)
    return np.load(path, mmap_mode=mode)


def numbered(n: int = 40) -> np.ndarray:
    return np.arange(n * 12, dtype=np.uint8).reshape(n, 3, 2, 2)


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


VIEWS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda x: x,
    lambda x: x[3:],
    lambda x: x[::2],
    lambda x: x[1:, :, 1:],
    lambda x: np.moveaxis(x, 1, -1),
]


@pytest.mark.parametrize("view", VIEWS, ids=["whole", "behind", "every other", "cut", "moved axis"])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_rows_of_a_mapped_array_are_those_of_memory_here_and_in_another_process(tmp_path: Path, view: Any, mode: str):
    held, mapped = view(numbered()), view(on_disk(tmp_path, numbered(), mode))
    ids = [f"k{place}" for place in range(len(held))]
    expected = Samples.from_tensors(torch.from_numpy(held.copy()).float().div(255), torch.arange(len(held)), ids=ids)
    samples = Samples.from_arrays(mapped, np.arange(len(held)), ids=ids)
    for read in (samples, pickle.loads(pickle.dumps(samples))):
        chosen = read.select([ids[7], ids[2], ids[11]]).everything()
        assert chosen.x.equal(expected.everything().x[[7, 2, 11]])
        assert chosen.y.tolist() == [7, 2, 11]
        assert read.targets.equal(expected.targets)
    assert samples.sha256 == expected.sha256
    assert samples.shape == expected.shape


def test_no_row_of_a_mapped_array_is_sent_to_another_process(tmp_path: Path):
    samples = Samples.from_arrays(
        on_disk(tmp_path, np.zeros((1000, 500), np.uint8)), np.zeros(1000), ids=map(str, range(1000))
    )
    again = pickle.loads(pickle.dumps(samples.store))
    assert len(pickle.dumps(samples.store)) < 50_000
    assert isinstance(again, ArrayStore)
    assert is_mapped(again.x)


def test_changes_that_are_private_to_the_process_are_read_and_stay(tmp_path: Path):
    mapped = on_disk(tmp_path, numbered(), "c")
    mapped[4] = 255
    samples = Samples.from_arrays(mapped, np.arange(40), ids=map(str, range(40)))
    for _ in range(2):
        assert float(samples.select(["4"]).everything().x.min()) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_of_200_mib_takes_little_memory(tmp_path: Path, dtype: Any):
    n = 200 * MIB // (3072 * np.dtype(dtype).itemsize)
    path = tmp_path / "x.npy"
    whole = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, 3, 32, 32))  # of holes
    del whole
    ids = np.arange(n).astype(np.str_)
    before = resident()
    tracemalloc.start()
    samples = Samples.from_arrays(np.load(path, mmap_mode="r"), np.arange(n) % 2, ids=ids)
    split = Split.of(samples, forget="class:1")
    assert split.kept.take(torch.arange(0, n // 2, 100)).x.shape[1:] == (3, 32, 32)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 * MIB
    assert resident() - before < 100 * MIB


def test_arrays_of_whole_numbers_under_names_are_not_read_before_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mapped, taken = on_disk(tmp_path, numbered()), []
    take = ArrayStore.take
    monkeypatch.setattr(ArrayStore, "take", lambda self, rows: (taken.append(len(rows)), take(self, rows))[1])
    samples = Samples.from_arrays(mapped, np.arange(40) % 2, ids=map(str, range(40)))
    assert samples.select(["3"]).targets.tolist() == [1]
    assert Split.of(samples, forget="class:1").forget.targets.tolist() == [1] * 20
    assert taken == []


def test_values_that_are_not_finite_are_refused_with_the_sample_number(tmp_path: Path):
    x = np.zeros((9, 2), np.float32)
    x[6, 1] = np.nan
    with pytest.raises(DataError, match="expected finite values, got NaN or Inf in sample 6;"):
        Samples.from_arrays(on_disk(tmp_path, x), np.zeros(9), ids=map(str, range(9)))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(2, 1), np.zeros(2), "expected inputs as a numpy array, got Tensor; use `Samples.from_tensors`"),
        ([[1]], np.zeros(1), r"expected inputs as a numpy array, got list; use `np.asarray\(…\)`"),
        (np.zeros((2, 1)), np.array(["a", "b"]), r"expected targets of numbers in rows, .* got <U1 of shape \(2,\)"),
        (np.zeros((2, 1)), np.zeros(3), "expected as many targets as inputs, got 2 inputs and 3 targets"),
        (np.zeros((2, 1), complex), np.zeros(2), "expected inputs of numbers in rows, .* got complex128"),
    ],
)
def test_what_does_not_fit_is_refused(x: Any, y: Any, message: str, unchecked: None):
    with pytest.raises(DataError, match=message):
        Samples.from_arrays(x, y)


def test_a_file_that_has_become_shorter_is_refused(tmp_path: Path):
    samples = Samples.from_arrays(on_disk(tmp_path, numbered()), np.arange(40), ids=map(str, range(40)))
    os.truncate(tmp_path / "x.npy", 300)
    with pytest.raises(DataError, match=r"expected rows of 12 bytes in .*x.npy, got an end before; restore the file"):
        samples.everything()


def source_arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    arrays = {
        f"{part}_x": draw.integers(256, size=(n, 3, 5, 5), dtype=np.uint8) for part, n in (("train", 30), ("test", 12))
    }
    arrays["test_x"][3] = arrays["train_x"][5]  # a copy, which is left out
    return arrays | {f"{part}_y": np.arange(n) % 3 for part, n in (("train", 30), ("test", 12))}


@pytest.mark.parametrize("kind", ["npz", "npy", "floats", "grey", "channels last", "named"])
def test_a_source_whose_inputs_stay_on_disk_is_that_which_is_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    arrays = source_arrays()
    if kind == "floats":
        arrays |= {name: x.astype(np.float64) / 100 for name, x in arrays.items() if name.endswith("x")}
    if kind == "grey":
        arrays |= {name: np.asfortranarray(x[:, 0]) for name, x in arrays.items() if name.endswith("x")}
    if kind == "channels last":
        arrays |= {name: np.moveaxis(x, 1, -1).copy() for name, x in arrays.items() if name.endswith("x")}
    if kind == "named":
        arrays["train_ids"] = np.array([f"k{place}" for place in range(30)])
    if kind == "npy":
        path = tmp_path / "set"
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    else:
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    held = load_data(path, train_size=20, holdout_size=5, seed=1)
    for module in (npz, npy):
        monkeypatch.setattr(module, "MAPPED", 1)
    stays = load_data(path, train_size=20, holdout_size=5, seed=1)
    assert stays.sha256 == held.sha256
    assert stays.notes == held.notes
    assert stays.input_range == held.input_range
    for part in ("train", "test", "holdout"):
        actual, expected = getattr(stays, part), getattr(held, part)
        assert isinstance(actual.store, ArrayStore)
        assert is_mapped(actual.store.x)
        assert actual.ids.tolist() == expected.ids.tolist()
        assert actual.everything().x.equal(expected.everything().x)
        assert actual.targets.equal(expected.targets)


def test_packed_inputs_are_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(npz, "MAPPED", 1)
    np.savez_compressed(tmp_path / "set.npz", **source_arrays())  # pyright: ignore[reportArgumentType]
    assert not isinstance(load_data(tmp_path / "set.npz").train.store, ArrayStore)


def test_a_damaged_array_of_a_folder_is_refused(tmp_path: Path):
    for name, array in source_arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "test_y.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"expected test_y.npy to be a .npy file of a plain array, got .*damaged"):
        load_data(tmp_path)
