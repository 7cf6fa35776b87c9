import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from obliviate.data.sources import load_data
from obliviate.errors import DataError

Draw = Callable[..., dict[str, np.ndarray]]


def write(folder: Path, arrays: dict[str, np.ndarray], *, compress: bool) -> None:
    folder.mkdir(exist_ok=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for axis, kind in (("x", "images-idx3"), ("y", "labels-idx1")):
            array = arrays[f"{part}_{axis}"]
            content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            name = f"{prefix}-{kind}-ubyte"
            (folder / (f"{name}.gz" if compress else name)).write_bytes(gzip.compress(content) if compress else content)


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    write(tmp_path / "digits", draw(5, 4), compress=False)
    return tmp_path / "digits"


@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_are_read_as_they_were_written(tmp_path: Path, draw: Draw, compress: bool):
    arrays = draw(5, 4)
    write(tmp_path / "digits", arrays, compress=compress)
    data = load_data(tmp_path / "digits")
    assert (data.name, data.classes, data.holdout, data.notes) == ("digits", 10, None, ())
    for part, samples in (("train", data.train), ("test", data.test)):
        batch = samples.everything()
        assert torch.equal(batch.x, torch.from_numpy(arrays[f"{part}_x"]).float()[:, None] / 255)
        assert batch.y.tolist() == arrays[f"{part}_y"].tolist()


def test_compressed_and_plain_files_are_the_same_data(tmp_path: Path, draw: Draw):
    for compress in (True, False):
        write(tmp_path / str(compress), draw(5, 4), compress=compress)
    assert load_data(tmp_path / "True").sha256 == load_data(tmp_path / "False").sha256


def test_other_files_beside_them_are_left_alone(folder: Path):
    before = load_data(folder).sha256
    (folder / "train-labels-idx1-ubyte.md5").write_bytes(b"other")
    (folder / "LICENSE").write_text("MIT")
    assert load_data(folder).sha256 == before


def test_a_missing_file_is_named(folder: Path):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"^expected t10k-labels-idx1-ubyte or .*\.gz in .*, got neither; "):
        load_data(folder)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x00", "begins with 00 00"),
        (b"<html>not found</html>", "begins with 3c 68 74 6d"),
        (struct.pack(">BBBBI", 0, 0, 0x0C, 1, 0), "begins with 00 00 0c 01"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 10, 5, 4), "begins with 00 00 08 03"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 10) + bytes(9), "got 9"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 10) + bytes(11), "got more than that"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 9) + bytes(9), "got 10 inputs and 9 targets"),
    ],
)
def test_foreign_or_damaged_labels_are_refused(folder: Path, content: bytes, got: str):
    (folder / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=r"^expected .*, got .*; .") as error:
        load_data(folder)
    assert got in str(error.value)


def test_no_damage_to_a_compressed_file_goes_unnoticed(tmp_path: Path, draw: Draw):
    write(tmp_path / "digits", draw(3, 3), compress=True)
    expected, path = load_data(tmp_path / "digits").sha256, tmp_path / "digits" / "train-images-idx3-ubyte.gz"
    content, refused = path.read_bytes(), 0
    variants = [content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :] for place in range(len(content))]
    for damaged in (*variants, content[:-1], content[:20], b""):
        path.write_bytes(damaged)
        try:
            assert load_data(tmp_path / "digits").sha256 == expected
        except DataError:
            refused += 1
    assert refused > len(content) / 2


# Writers


def put_writers(
    folder: Path, writers: list[int], labels: list[int], *, compress: bool = True, part: str = "train"
) -> Path:
    rows = np.zeros((len(writers), 8), dtype=">i4")
    rows[:, 0], rows[:, 2] = labels, writers
    content = struct.pack(">BBBBII", 0, 0, 0x0C, 2, *rows.shape) + rows.tobytes()
    path = folder / f"qmnist-{part}-labels-idx2-int{'.gz' if compress else ''}"
    path.write_bytes(gzip.compress(content) if compress else content)
    return path


@pytest.mark.parametrize("compress", [True, False])
def test_the_writers_of_qmnist_are_the_owners_of_mnists_digits(folder: Path, draw: Draw, compress: bool):
    labels, before = draw(5, 4)["train_y"].tolist(), load_data(folder).sha256
    writers = [7, 300, 7, 70000, 1, 2, 3, 7, 5, 6]
    put_writers(folder, writers, labels, compress=compress)
    data = load_data(folder)
    assert (data.owner, data.sha256) == ("writer", before)
    assert data.metadata["writer"].tolist() == [str(writer) for writer in writers]
    assert data.ids_of("7").tolist() == data.train.ids[[0, 2, 7]].tolist()


def test_the_writers_of_the_test_part_are_the_first_of_qmnists(folder: Path, draw: Draw):
    drawn = draw(5, 4)
    train, test = drawn["train_y"].tolist(), drawn["test_y"].tolist()
    put_writers(folder, [7, 8] * (len(train) // 2), train)
    assert load_data(folder).owners == {}
    writers = [*([7, 9] * len(test))[: len(test)], 5, 6]
    put_writers(folder, writers, [*test, 0, 0], part="test")
    data = load_data(folder)
    assert data.owners["test"].tolist() == [str(writer) for writer in writers[: len(test)]]
    assert len(data.unseen_of(data.ids_of("7"))["test"]) == (len(test) + 1) // 2
    put_writers(folder, writers, [*[(label + 1) % 10 for label in test], 0, 0], part="test")
    with pytest.raises(DataError, match=r"another data set's; "):
        load_data(folder)


def test_writers_of_another_set_are_refused(folder: Path, draw: Draw):
    labels = draw(5, 4)["train_y"].tolist()
    labels[3] = (labels[3] + 1) % 10
    put_writers(folder, list(range(10)), labels)
    with pytest.raises(DataError, match=r"^expected label \d of image 3 in .*, got \d, another data set's; "):
        load_data(folder)
    put_writers(folder, list(range(9)), labels[:9])
    with pytest.raises(DataError, match=r"^expected 10 × 8 numbers in .*, got 9 × 8; "):
        load_data(folder)


def test_damaged_writers_are_refused(folder: Path, draw: Draw):
    path = put_writers(folder, list(range(10)), draw(5, 4)["train_y"].tolist(), compress=False)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"^expected 10 × 8 × 4 bytes in .*, got 319; "):
        load_data(folder)
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=r"^expected an idx file of integers of four bytes in 2 dimensions in "):
        load_data(folder)


def test_a_file_that_unpacks_to_more_than_it_says_is_read_no_further(folder: Path):
    path = folder / "train-labels-idx1-ubyte.gz"
    (folder / "train-labels-idx1-ubyte").unlink(missing_ok=True)
    path.write_bytes(gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 10) + bytes(2**24)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz, got more than that; the file is damaged"):
        load_data(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_file_that_says_it_is_larger_than_memory_is_refused(folder: Path):
    path = folder / "train-labels-idx1-ubyte.gz"
    (folder / "train-labels-idx1-ubyte").unlink(missing_ok=True)
    with path.open("wb") as file:
        file.write(gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 10)))
    images = folder / "train-images-idx3-ubyte.gz"
    (folder / "train-images-idx3-ubyte").unlink(missing_ok=True)
    images.write_bytes(gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, *[2**31] * 3)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz, got one of .* more than the machine's memory"):
        load_data(folder)
