from pathlib import Path

import pytest

from obliviate.data.formats import FORMATS, recognise
from obliviate.errors import DataError

SIGNS = {
    "described data": "data.toml",
    "npz": "data.npz",
    "npy": "train_x.npy",
    "idx": "train-images-idx3-ubyte.gz",
    "CIFAR python batches": "data_batch_1",
    "CIFAR binary batches": "data_batch_1.bin",
    "mosaics": "train_00.webp",
    "SVHN": "train_32x32.mat",
    "folder of images": "train/",
    "Adult": "adult.data.xz",
    "20 Newsgroups": "20news-bydate.tar.xz",
    "SMS Spam Collection": "SMSSpamCollection.tsv.xz",
    "plain text": "input.txt",
}


def put(folder: Path, name: str) -> None:
    if name.endswith("/"):
        (folder / name).mkdir()
    else:
        (folder / name).touch()


def test_every_format_has_a_sign_here():
    assert [file_format.name for file_format in FORMATS] == list(SIGNS)


@pytest.mark.parametrize("name", [name for name in SIGNS if name != "npz"])
def test_a_folder_is_recognised_by_the_files_in_it(tmp_path: Path, name: str):
    put(tmp_path, SIGNS[name])
    (tmp_path / "README.md").touch()
    assert recognise(tmp_path).name == name


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("train", "test", "meta"), "CIFAR python batches"),
        (("train.bin", "test.bin"), "CIFAR binary batches"),
        (("train-images-idx3-ubyte",), "idx"),
    ],
)
def test_the_other_names_of_a_format_are_known(tmp_path: Path, names: tuple[str, ...], form: str):
    for name in names:
        put(tmp_path, name)
    assert recognise(tmp_path).name == form


def test_a_file_is_recognised_by_its_suffix(tmp_path: Path):
    put(tmp_path, "data.npz")
    assert recognise(tmp_path / "data.npz").name == "npz"


def test_a_folder_of_two_formats_is_refused_with_their_names(tmp_path: Path):
    put(tmp_path, "data_batch_1")
    put(tmp_path, "data_batch_1.bin")
    with pytest.raises(
        DataError, match=r", got files of several formats \(CIFAR python batches, CIFAR binary batches\)"
    ):
        recognise(tmp_path)


def test_the_error_for_an_unknown_folder_names_everything_that_was_looked_for(tmp_path: Path):
    with pytest.raises(DataError, match=r"^expected .*, got a folder without any of these; ") as error:
        recognise(tmp_path)
    assert all(file_format.looks_for in str(error.value) for file_format in FORMATS)


def test_a_path_that_cannot_exist_is_refused():
    with pytest.raises(DataError, match=r"^expected a path that can be read, got "):
        recognise(Path("x" * 5000))
