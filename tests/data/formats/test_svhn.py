from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from obliviate.data.sources import load_data
from obliviate.errors import DataError

Arrays = dict[str, np.ndarray]
Draw = Callable[..., Arrays]


def write(folder: Path, arrays: Arrays, *, compress: bool = True) -> Path:
    """As published: images last, labels 1 … 10 in a column, 10 for the digit 0."""
    folder.mkdir(exist_ok=True)
    for part in ("train", "test"):
        x, y = arrays[f"{part}_x"].transpose(2, 3, 1, 0), arrays[f"{part}_y"].reshape(-1, 1)
        content = {"X": x, "y": np.where(y == 0, 10, y).astype(np.uint8)}
        savemat(folder / f"{part}_32x32.mat", content, do_compression=compress)
    return folder


def test_svhn_is_read_as_it_was_written_and_ten_is_the_digit_zero(tmp_path: Path, draw: Draw):
    arrays = draw(3, 32, 32, train=12, test=10)
    data = load_data(write(tmp_path / "svhn", arrays))
    assert data.classes == 10
    for part, samples in (("train", data.train), ("test", data.test)):
        batch = samples.everything()
        assert torch.equal(batch.x, torch.from_numpy(arrays[f"{part}_x"]).float() / 255)
        assert batch.y.tolist() == arrays[f"{part}_y"].tolist()
        assert 0 in batch.y


def test_a_missing_part_is_named(tmp_path: Path, draw: Draw):
    (write(tmp_path / "svhn", draw(3, 32, 32)) / "test_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"^expected SVHN's .*, got none named test_32x32.mat; "):
        load_data(tmp_path / "svhn")


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"X": None}, "got none"),
        ({"y": None}, "got none"),
        ({"X": np.zeros((32, 32, 3, 4))}, "got float64 of shape (32, 32, 3, 4)"),
        ({"X": np.zeros((32, 32, 4, 4), dtype=np.uint8)}, "got uint8 of shape (32, 32, 4, 4)"),
        ({"y": np.ones((3, 1), dtype=np.uint8)}, "got uint8 of shape (3, 1)"),
        ({"y": np.array([[0], [1], [2], [3]], dtype=np.uint8)}, "got uint8 of shape (4, 1)"),
        ({"y": np.array([[11], [1], [2], [3]], dtype=np.uint8)}, "got uint8 of shape (4, 1)"),
    ],
)
def test_foreign_content_is_refused(tmp_path: Path, draw: Draw, changed: dict[str, Any], got: str):
    folder = write(tmp_path / "svhn", draw(3, 32, 32))
    content = {"X": np.zeros((32, 32, 3, 4), dtype=np.uint8), "y": np.ones((4, 1), dtype=np.uint8)} | changed
    savemat(folder / "train_32x32.mat", {key: value for key, value in content.items() if value is not None})
    with pytest.raises(DataError, match=r"^expected `.*train_32x32.mat, got .*; .") as error:
        load_data(folder)
    assert got in str(error.value)


@pytest.mark.parametrize("content", [b"", b"MATLAB", b"\x89HDF\r\n\x1a\n" + bytes(600), bytes(200), b"<html>" * 100])
def test_a_file_that_is_no_matlab_file_is_refused(tmp_path: Path, draw: Draw, content: bytes):
    folder = write(tmp_path / "svhn", draw(3, 32, 32))
    (folder / "train_32x32.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"^expected .*train_32x32.mat, got .*; .*damaged or foreign"):
        load_data(folder)


def test_a_file_of_matlab_7_3_is_refused_by_name(tmp_path: Path, draw: Draw):
    folder = write(tmp_path / "svhn", draw(3, 32, 32))
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (folder / "train_32x32.mat").write_bytes(header + bytes(512))
    with pytest.raises(
        DataError, match=r"^expected a MATLAB file of version 5 in .*, got one of version 7.3, .* HDF5; "
    ):
        load_data(folder)


def test_no_damage_to_a_compressed_file_goes_unnoticed(tmp_path: Path, draw: Draw):
    folder = write(tmp_path / "svhn", draw(3, 4, 4))
    expected, path = load_data(folder).sha256, folder / "train_32x32.mat"
    content, refused, tried = path.read_bytes(), 0, 0
    for place in range(124, len(content), 5):
        tried += 1
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        try:
            assert load_data(folder).sha256 == expected
        except DataError:
            refused += 1
    assert refused > tried / 2


def test_arrays_that_unpack_to_more_than_the_file_can_hold_are_refused_before(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
):
    folder = write(tmp_path / "svhn", draw(3, 32, 32))
    monkeypatch.setattr("scipy.io.whosmat", lambda _: [("X", (32, 32, 3, 10**9), "uint8")])
    with pytest.raises(DataError, match=r"train_32x32.mat, got X of shape \(32, 32, 3, 1000000000\), for which"):
        load_data(folder)
