import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from obliviate.data import sources
from obliviate.data.sources import EMBEDDED, Data, load_data, pixels
from obliviate.errors import DataError

SHIPPED = Path(sources.__file__).parent / "embedded"


def arrays(**changed: Any) -> dict[str, np.ndarray]:
    """A small set; an array given as None is left out."""
    rng = np.random.default_rng(0)
    whole = {
        "train_x": rng.random((6, 4)),
        "train_y": np.array([0, 1, 2, 0, 1, 2]),
        "test_x": rng.random((3, 4)),
        "test_y": np.array([0, 1, 1]),
    } | changed
    return {key: value for key, value in whole.items() if value is not None}


def loaded(folder: Path, **changed: Any) -> Data:
    np.savez(folder / "mine.npz", **arrays(**changed))  # pyright: ignore[reportArgumentType]
    return load_data(folder / "mine.npz")


# The shipped set


def test_the_shipped_set_has_its_sizes_shapes_and_classes(data: Data):
    assert data.holdout is not None
    assert (len(data.train), len(data.holdout), len(data.test)) == (5000, 500, 2500)
    assert (data.name, data.classes) == (EMBEDDED, 10)
    for part in (data.train, data.holdout, data.test):
        batch = part.everything()
        assert batch.x.shape[1:] == (1, 28, 28)
        assert batch.x.dtype == torch.float32
        assert 0.0 == float(batch.x.min()) < float(batch.x.max()) == 1.0
        assert set(batch.y.tolist()) == set(range(10))


def test_no_image_of_the_shipped_set_is_in_two_roles(data: Data):
    assert data.holdout is not None
    images = [
        hash(row.numpy().tobytes())
        for part in (data.train, data.holdout, data.test)
        for row in part.store.take(part.rows)[0]
    ]
    assert len(set(images)) == len(images)


def test_the_shipped_checksum_is_that_of_its_arrays():
    facts = json.loads((SHIPPED / f"{EMBEDDED}.json").read_text(encoding="utf-8"))
    with np.load(SHIPPED / f"{EMBEDDED}.npz") as file:
        content = b"".join(file[name].tobytes() for name in sorted(file.files))
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped file, which `embedded` reads instead."""
    shutil.copytree(SHIPPED, tmp_path / "embedded")
    monkeypatch.setattr(sources.resources, "files", lambda package: tmp_path)
    assert len(sources.embedded().train) == 5000
    return tmp_path / "embedded" / f"{EMBEDDED}.npz"


@pytest.mark.parametrize("where", [0.0, 0.3, 0.999])
def test_a_flipped_byte_in_the_shipped_file_is_found(copy: Path, where: float):
    content = bytearray(copy.read_bytes())
    content[int(where * len(content))] ^= 0x40
    copy.write_bytes(content)
    with pytest.raises(DataError, match=r"^expected the embedded data .*, got .*damaged"):
        sources.embedded()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9999])
def test_a_truncated_shipped_file_is_found(copy: Path, share: float):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"^expected the embedded data .*, got .*damaged"):
        sources.embedded()


def test_other_content_in_the_shipped_file_is_found(copy: Path):
    """A sound archive whose label was changed: only the checksum can tell."""
    with np.load(copy) as file:
        content = dict(file)
    content["test_y"] = content["test_y"].copy()
    content["test_y"][0] = (content["test_y"][0] + 1) % 10
    np.savez(copy, **content)
    with pytest.raises(DataError, match=r"^expected the embedded data with sha256 .*, got .*; .*install"):
        sources.embedded()


# A user's arrays


def test_a_users_arrays_are_taken_as_they_are(tmp_path: Path):
    columns = arrays()
    data = loaded(tmp_path)
    assert (data.name, data.classes, data.holdout) == ("mine", 3, None)
    assert torch.equal(data.train.everything().x, torch.from_numpy(columns["train_x"]).float())
    assert data.train.everything().y.tolist() == columns["train_y"].tolist()
    assert data.test.everything().y.tolist() == columns["test_y"].tolist()
    assert data.train.everything().y.dtype == torch.int64


def test_holdout_arrays_and_training_ids_are_read(tmp_path: Path):
    data = loaded(tmp_path, holdout_x=np.ones((2, 4)), holdout_y=np.array([0, 5]), train_ids=np.array(list("abcdef")))
    assert data.holdout is not None
    assert data.holdout.everything().y.tolist() == [0, 5]
    assert data.classes == 6
    assert data.train.ids.tolist() == list("abcdef")


def test_the_hash_of_a_set_changes_with_every_part(tmp_path: Path):
    holdout = {"holdout_x": np.ones((2, 4)), "holdout_y": np.array([0, 1])}
    variants: list[dict[str, Any]] = [
        {},
        {"train_y": np.array([0, 1, 2, 0, 1, 1])},
        {"test_x": np.zeros((3, 4))},
        holdout,
        holdout | {"holdout_x": np.zeros((2, 4))},
    ]
    assert len({loaded(tmp_path, **variant).sha256 for variant in variants}) == len(variants)
    assert loaded(tmp_path).sha256 == loaded(tmp_path).sha256


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"train_y": None}, "got none named train_y"),
        ({"train_x": None, "test_y": None}, "got none named train_x, test_y"),
        ({"holdout_x": np.ones((2, 4))}, "got none named holdout_y"),
        ({"holdout_y": np.ones(2, dtype=int)}, "got none named holdout_x"),
        ({"train_x": np.ones((5, 4))}, "got 5 inputs and 6 targets"),
        ({"test_x": np.ones((3, 5))}, "(5,)"),
        ({"test_x": np.ones((3, 4, 4))}, "(1, 4, 4)"),
        ({"train_x": np.ones((0, 4)), "train_y": np.ones(0, dtype=int)}, "got none"),
        ({"train_ids": np.array(["a", "b"])}, "got 2 ids for 6 samples"),
        ({"train_ids": np.array(list("abcdea"))}, "got 'a' more than once"),
        ({"train_y": np.array([0.0, 1.5, 2, 0, 1, 2])}, "got float64"),
        ({"train_y": np.array(list("abcabc"))}, "got <U1"),
        ({"train_x": np.full((6, 4), "a")}, "got <U1"),
        ({"train_x": np.ones((6, 4), dtype=complex)}, "got complex128"),
        ({"train_x": np.float32(1)}, "of shape ()"),
        ({"train_x": np.full((6, 4), np.nan)}, "got NaN or Inf in sample 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changed: dict[str, Any], got: str):
    with pytest.raises(DataError, match=r"^expected .*, got .*; .") as error:
        loaded(tmp_path, **changed)
    assert got in str(error.value)


def test_pickled_objects_are_refused_and_never_run(tmp_path: Path):
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return (marker.touch, ())

    with pytest.raises(DataError, match=r"^expected mine.npz to be a .npz file of plain arrays, got .*; "):
        loaded(tmp_path, train_ids=np.array([Trap()] * 6, dtype=object))
    assert not marker.exists()


def test_a_single_array_under_the_name_of_an_archive_is_refused(tmp_path: Path):
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"^expected mine.npz to be a .npz file of plain arrays, got .*; "):
        load_data(tmp_path / "mine.npz")


def test_no_flipped_byte_of_a_file_goes_unnoticed(tmp_path: Path):
    """Whatever byte is damaged, the data are refused as damaged or are what they were (in unused header fields)."""
    expected = loaded(tmp_path)
    path = tmp_path / "mine.npz"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert load_data(path).sha256 == expected.sha256
        except DataError:
            refused += 1
    assert refused > len(content) / 6


# Owners


def test_owners_stay_with_their_samples_through_the_selection(tmp_path: Path):
    owners = np.array(["ann", "bob", "ann", "cy", "bob", "ann"])
    ids = np.array([f"{owner}-{row}" for row, owner in enumerate(owners)])
    np.savez(tmp_path / "mine.npz", **arrays(train_owner=owners, train_ids=ids))  # pyright: ignore[reportArgumentType]
    data = load_data(tmp_path / "mine.npz", train_size=4, holdout_size=1, seed=3)
    assert data.owner == "owner"
    assert len(data.train) == 4
    assert data.metadata["owner"].tolist() == [name.partition("-")[0] for name in data.train.ids]
    assert data.ids_of("ann").tolist() == [name for name in data.train.ids if name.startswith("ann")]


def test_samples_that_are_left_out_leave_the_columns_too(tmp_path: Path):
    data = loaded(tmp_path, train_owner=np.array(list("xyxyzz")), train_ids=np.array(list("abcdef")))
    less = data.without(["e", "b"])
    assert less.train.ids.tolist() == ["a", "c", "d", "f"]
    assert less.metadata["owner"].tolist() == ["x", "x", "y", "z"]
    assert (less.test, less.sha256) == (data.test, data.sha256)
    assert data.metadata["owner"].tolist() == list("xyxyzz")


def test_owners_may_be_numbers_and_other_columns_are_asked_by_name(tmp_path: Path):
    data = loaded(tmp_path, train_owner=np.array([7, 7, 12, 12, 12, 1]))
    assert data.ids_of("12").tolist() == data.train.ids[2:5].tolist()
    assert data.ids_of("7", column="owner").tolist() == data.train.ids[:2].tolist()
    with pytest.raises(DataError, match=r"^expected owners, .*: 1 not known \('9'\); ") as error:
        data.ids_of("9")
    assert "12" not in str(error.value)  # nobody else is named
    with pytest.raises(DataError, match=r"^expected a column of owner, got 'group'; "):
        data.ids_of("7", column="group")
    with pytest.raises(DataError, match=r"^expected data with columns .*, got data without an owner; "):
        loaded(tmp_path).ids_of("7")


def test_owners_that_are_not_one_a_sample_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"^expected one owner per training sample, got 5 entries for 6 samples; "):
        loaded(tmp_path, train_owner=np.array(list("xyxyz")))


@pytest.mark.parametrize("name", ["nothing", "absent.npz", "there.dat", "folder.npz", ""])
def test_an_unknown_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.dat").touch()
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match=r"^expected .*\.npz[ ,].*, got .*; see docs/data.md$"):
        load_data(name)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 51, 255]], dtype=np.uint8), [[0.0, 0.2, 1.0]]),
        (np.array([[0, 51, 255]], dtype=np.int64), [[0.0, 51.0, 255.0]]),
        (np.array([[-1.5, 2.0]], dtype=">f8"), [[-1.5, 2.0]]),
        (np.array([[True, False]]), [[1.0, 0.0]]),
        (np.array([[[1.0, 2.0]]]), [[[[1.0, 2.0]]]]),
        (np.array([[[[1.0, 2.0]]]]), [[[[1.0, 2.0]]]]),
    ],
)
def test_pixels_scales_bytes_only_and_gives_images_a_channel(array: np.ndarray, expected: list[Any]):
    tensor = pixels(array)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor, torch.tensor(expected))


def test_labels_that_begin_at_one_are_told(tmp_path: Path):
    data = loaded(tmp_path, train_y=np.array([1, 2, 3, 1, 2, 3]), test_y=np.array([1, 2, 3]))
    assert data.classes == 4
    assert data.notes[0].startswith("no sample has class 0: labels seem to begin at 1; ")
    assert loaded(tmp_path).notes == ()
    assert loaded(tmp_path, train_y=np.array([1, 2, 3, 1, 2, 3]), test_y=np.array([0, 2, 3])).notes == ()


@pytest.mark.parametrize("other", [np.int64, np.float32])
def test_bytes_in_one_part_and_large_numbers_in_another_are_refused(tmp_path: Path, other: type):
    x = np.arange(36).reshape(9, 4)
    columns = {"train_x": x[:6].astype(other), "test_x": x[6:].astype(np.uint8)}
    message = (
        r"^expected inputs on one scale, got (int64|float32) up to 23 in train_x, .* bytes in test_x, .*; give all"
    )
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, **columns)
    scaled = loaded(tmp_path, train_x=(x[:6] / 255).astype(np.float32), test_x=columns["test_x"])
    assert float(scaled.test.everything().x.max()) == pytest.approx(35 / 255)


def test_targets_of_other_shapes_in_other_parts_are_refused(tmp_path: Path) -> None:
    x, y = np.zeros((4, 2), dtype=np.float32), np.arange(4) % 2
    np.savez(tmp_path / "rows.npz", train_x=x, train_y=np.stack([y, y], axis=1), test_x=x + 1, test_y=y)
    with pytest.raises(DataError, match="expected one class number a sample in train_y, got int64 of shape"):
        load_data(tmp_path / "rows.npz")
