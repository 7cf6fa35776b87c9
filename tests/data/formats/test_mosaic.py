from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from obliviate.data.sources import load_data
from obliviate.errors import DataError

Arrays = dict[str, np.ndarray]
Draw = Callable[..., Arrays]


def write(folder: Path, arrays: Arrays, *, rows: int, columns: int) -> Path:
    folder.mkdir(exist_ok=True)
    for part in ("train", "test"):
        x, each = arrays[f"{part}_x"], rows * columns
        assert len(x) % each == 0
        for number, start in enumerate(range(0, len(x), each)):
            canvas = Image.new("RGB", (32 * columns, 32 * rows))
            for place, image in enumerate(x[start : start + each]):
                at = 32 * (place % columns), 32 * (place // columns)
                canvas.paste(Image.fromarray(image.transpose(1, 2, 0).copy()), at)
            canvas.save(folder / f"{part}_{number:02d}.webp", lossless=True, exact=True)
        np.save(folder / f"{part}_labels.npy", arrays[f"{part}_y"])
    return folder


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    return write(tmp_path / "cifar", draw(3, 32, 32, train=12, test=6), rows=2, columns=3)


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 2), (1, 1), (6, 1)])
def test_mosaics_are_read_row_by_row_in_the_order_of_their_numbers(tmp_path: Path, draw: Draw, rows: int, columns: int):
    arrays = draw(3, 32, 32, train=12, test=6)
    data = load_data(write(tmp_path / "cifar", arrays, rows=rows, columns=columns))
    for part, samples in (("train", data.train), ("test", data.test)):
        batch = samples.everything()
        assert torch.equal(batch.x, torch.from_numpy(arrays[f"{part}_x"]).float() / 255)
        assert batch.y.tolist() == arrays[f"{part}_y"].tolist()


def test_a_missing_mosaic_or_more_labels_are_refused(folder: Path):
    (folder / "train_01.webp").unlink()
    with pytest.raises(DataError, match=r"^expected 12 images in train_.*, got 6 in 1 files of .*; "):
        load_data(folder)


def test_more_images_than_labels_are_refused(folder: Path):
    (folder / "train_02.webp").write_bytes((folder / "train_01.webp").read_bytes())
    with pytest.raises(DataError, match=r"^expected 12 images in train_.*, got 18 in 3 files of .*; "):
        load_data(folder)


def test_missing_labels_are_named(folder: Path):
    (folder / "test_labels.npy").unlink()
    with pytest.raises(DataError, match=r"^expected the labels .*, got none named test_labels.npy; "):
        load_data(folder)


@pytest.mark.parametrize("labels", [np.zeros(12), np.zeros((12, 1), dtype=np.uint8), np.array([None] * 12)])
def test_labels_of_another_kind_are_refused(folder: Path, labels: np.ndarray):
    np.save(folder / "train_labels.npy", labels)
    with pytest.raises(DataError, match=r"^expected one row of uint8 labels in .*train_labels.npy, got .*; "):
        load_data(folder)


def test_a_truncated_mosaic_is_refused(folder: Path):
    content = (folder / "train_01.webp").read_bytes()
    (folder / "train_01.webp").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"^expected an image in .*train_01.webp, got .*; "):
        load_data(folder)


def test_a_mosaic_of_other_tiles_is_refused(folder: Path):
    Image.new("RGB", (96, 60)).save(folder / "train_01.webp", lossless=True)
    with pytest.raises(DataError, match=r"^expected whole images of 32×32 in .*, got 60×96 pixels; "):
        load_data(folder)
