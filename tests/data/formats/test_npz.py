import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from obliviate import Classification, load_data, task_of
from obliviate.data.formats import npz
from obliviate.data.sources import Data
from obliviate.errors import DataError


def test_arrays_come_under_their_own_names_and_owners_beside_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_x=np.ones((2, 3)), train_owner=np.array(["ann", "bob"]))
    contents = npz.read(tmp_path / "a.npz")
    assert list(contents.arrays) == ["train_x"]
    assert contents.owner == "owner"
    assert contents.metadata["owner"].tolist() == ["ann", "bob"]


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"expected a\.npz to be a \.npz file of plain arrays, got "):
        npz.read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="the file is damaged"):
        npz.read(tmp_path / "a.npz")


def arrays(shape: tuple[int, ...], dtype: type = np.uint8, **others: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    high = 255 if dtype is np.uint8 else 1
    parts = {f"{part}_x": (rng.random((n, *shape)) * high).astype(dtype) for part, n in (("train", 30), ("test", 12))}
    return {**parts, "train_y": np.arange(30) % 3, "test_y": np.arange(12) % 3, **others}


def loaded_from(folder: Path, content: dict[str, Any]) -> Data:
    np.savez(folder / "a.npz", **content)
    return load_data(folder / "a.npz")


@pytest.mark.parametrize("part", ["train", "test"])
def test_no_samples_are_refused_whatever_kind_of_number_their_labels_are(part: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^expected at least one sample in {part}_x, got none"):
        loaded_from(tmp_path, arrays((3,)) | {f"{part}_x": np.zeros((0, 3)), f"{part}_y": np.zeros(0)})


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_with_their_channels_last_are_turned_and_said(tmp_path: Path, channels: int):
    content = arrays((8, 9, channels))
    data = loaded_from(tmp_path, content)
    assert data.train.shape == (channels, 8, 9)
    assert data.notes == (f"images of 8 × 9 × {channels} are read with their channels first: {channels} × 8 × 9",)
    turned = {name: np.moveaxis(x, -1, 1) if name.endswith("_x") else x for name, x in content.items()}
    assert loaded_from(tmp_path, turned).sha256 == data.sha256


@pytest.mark.parametrize("shape", [(3, 8, 8), (7, 8, 8), (1, 8, 8), (1, 8, 1)])
def test_images_with_their_channels_first_stay(tmp_path: Path, shape: tuple[int, ...]):
    data = loaded_from(tmp_path, arrays(shape))
    assert (data.train.shape, data.notes) == (shape, ())


@pytest.mark.parametrize("shape", [(3, 8, 3), (1, 8, 3), (4, 8, 3)])
def test_images_that_may_be_read_in_two_ways_are_refused_unless_the_file_says_which(
    tmp_path: Path, shape: tuple[int, ...]
):
    with pytest.raises(DataError, match="which may be read in two ways; add an array `layout` of"):
        loaded_from(tmp_path, arrays(shape))
    assert loaded_from(tmp_path, arrays(shape, layout=np.array("channels first"))).train.shape == shape
    moved = loaded_from(tmp_path, arrays(shape, layout=np.array("channels last"))).train.shape
    assert moved == (shape[2], *shape[:2])
    with pytest.raises(
        DataError, match=r"^expected a layout of channels first, channels last, images, as stored, got 'x'; "
    ):
        loaded_from(tmp_path, arrays(shape, layout=np.array("x")))


@pytest.mark.parametrize(("shape", "read"), [((2, 50), (2, 50)), ((50, 2), (2, 50)), ((12, 12), (1, 12, 12))])
def test_long_arrays_of_floats_are_sequences_and_others_grey_images(
    tmp_path: Path, shape: tuple[int, ...], read: tuple[int, ...]
):
    data = loaded_from(tmp_path, arrays(shape, np.float32))
    assert data.train.shape == read
    assert nn.Conv1d(2, 1, 3)(data.train.everything().x).shape == (30, 1, 48) if len(read) == 2 else True
    said = loaded_from(tmp_path, arrays(shape, np.float32, layout=np.array("images")))
    assert said.train.shape == (1, *shape)


@pytest.mark.parametrize("shape", [(50, 3), (3, 50), (12, 12), (8, 8, 3)])
def test_arrays_that_are_to_stay_as_they_are_stored_do(tmp_path: Path, shape: tuple[int, ...]):
    data = loaded_from(tmp_path, arrays(shape, np.float32, layout=np.array("as stored")))
    assert data.train.shape == shape
    assert f"arrays of {' × '.join(map(str, shape))} are given to the model as they are stored" in data.notes
    assert nn.GRU(shape[1], 2, batch_first=True)(data.train.everything().x)[0].ndim == 3 if len(shape) == 2 else True


def test_the_note_on_sequences_whose_axes_were_changed_says_how_to_keep_them(tmp_path: Path):
    moved, kept = (loaded_from(tmp_path, arrays(shape, np.float32)).notes for shape in ((50, 2), (2, 50)))
    assert any(note.endswith('channels first; an array `layout` of "as stored" leaves them') for note in moved)
    assert not any("as stored" in note for note in kept)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (lambda y: np.array(["b", "a", "c"])[y], ("a", "b", "c")),
        (lambda y: y.astype(float), None),
        (lambda y: y[:, None], None),
    ],
    ids=["words", "floats", "column"],
)
def test_labels_are_read_as_people_write_them(tmp_path: Path, labels: Any, names: tuple[str, ...] | None):
    content = arrays((4,))
    written = {name: labels(y) if name.endswith("_y") else y for name, y in content.items()}
    data = loaded_from(tmp_path, written)
    wanted = content["train_y"] if names is None else np.array([1, 0, 2])[content["train_y"]]
    assert data.train.everything().y.tolist() == wanted.tolist()
    assert (data.classes, data.targets and data.targets.names) == (3, names)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (lambda y: y - 1, "got -1; number the classes 0, 1, 2"),
        (lambda y: np.eye(3, dtype=int)[y], "they are one-hot: take `.argmax(1)`"),
        (lambda y: y + 0.5, "got float64 such as 0.5; number the classes"),
        (lambda y: np.where(y == 2, 1.5, y), "got float64 such as 1.5; number the classes"),
        (lambda y: np.zeros((len(y), 4, 4), dtype=int), "(segmentation) are not served"),
    ],
    ids=["negative", "one-hot", "fractions", "some fractions", "segmentation"],
)
def test_labels_that_are_no_class_numbers_are_refused_by_what_is_wrong(tmp_path: Path, labels: Any, got: str):
    content = {name: labels(y) if name.endswith("_y") else y for name, y in arrays((4,)).items()}
    with pytest.raises(DataError, match=re.escape(got)):
        loaded_from(tmp_path, content)


@pytest.mark.parametrize(
    ("change", "note"),
    [(lambda y: y + 1, "labels seem to begin at 1"), (lambda y: 5 * y, "only 3 of these 11 numbers occur")],
    ids=["from one", "gaps"],
)
def test_classes_that_never_occur_are_noted(tmp_path: Path, change: Any, note: str):
    content = {name: change(y) if name.endswith("_y") else y for name, y in arrays((4,)).items()}
    (text,) = loaded_from(tmp_path, content).notes
    assert note in text


def test_numbers_beyond_0_and_1_have_the_range_of_the_training_samples_and_a_task_of_it(tmp_path: Path):
    content = arrays((3, 8, 8), np.float32)
    content |= {name: 4 * content[name] - 2 for name in ("train_x", "test_x")}
    data = loaded_from(tmp_path, content)
    low, high = float(content["train_x"].min()), float(content["train_x"].max())
    assert data.input_range == (low, high)
    assert data.notes[0].startswith("inputs reach beyond [0, 1]: their range is that of the training samples")
    task = task_of(data)
    assert isinstance(task, Classification)
    space = task.space(nn.Linear(1, 1))
    assert space is not None
    space.check(data.train.everything().x)


@pytest.mark.parametrize("limits", [[-3.0, 3.0], [[-3.0, -2.0, -2.5], [3.0, 2.0, 2.5]]], ids=["all", "channels"])
def test_a_range_of_all_or_of_each_channel_can_be_said_in_the_file(tmp_path: Path, limits: list[Any]):
    data = loaded_from(tmp_path, arrays((3, 8, 8), np.float32, input_range=np.array(limits)))
    ends = [tuple(end) if isinstance(end, list) else end for end in limits]
    assert data.input_range == tuple(ends)
    assert data.notes == ()
    with pytest.raises(DataError, match=r"^expected `input_range` in a.npz to be two numbers"):
        loaded_from(tmp_path, arrays((3, 8, 8), np.float32, input_range=np.array([1.0, 0.0])))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_parts_on_other_scales_are_refused(tmp_path: Path, dtype: type):
    content = arrays((8, 8), np.float32)
    content |= {"train_x": (255 * content["train_x"]).astype(dtype)}
    with pytest.raises(DataError, match=r"^expected inputs on one scale, got numbers about .* in train_x and about"):
        loaded_from(tmp_path, content)
