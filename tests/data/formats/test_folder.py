import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from obliviate.data.sources import load_data
from obliviate.errors import DataError


def put(folder: Path, name: str, seed: int, *, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> np.ndarray:
    """Save a random image and return its pixels."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, size if mode == "L" else (*size, len(mode)), dtype=np.uint8)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, three training and two test images of 6×5 pixels."""
    for seed, name in enumerate(("train/cat/b.png", "train/cat/a c.png", "train/ant/a.png")):
        put(tmp_path, name, seed)
    put(tmp_path, "test/ant/x.png", 10)
    put(tmp_path, "test/cat/y.PNG", 11)
    return tmp_path


def test_images_are_read_with_their_paths_for_ids_and_classes_in_alphabetical_order(folder: Path):
    data = load_data(folder)
    assert (data.name, data.classes, data.holdout) == (folder.name, 2, None)
    assert data.train.ids.tolist() == ["train/ant/a.png", "train/cat/a c.png", "train/cat/b.png"]
    assert data.test.ids.tolist() == ["test/ant/x.png", "test/cat/y.PNG"]
    assert data.train.everything().y.tolist() == [0, 1, 1]
    assert data.targets is not None
    assert data.targets.names == ("ant", "cat")
    for samples in (data.train, data.test):
        for place, name in enumerate(samples.ids):
            expected = torch.from_numpy(np.array(Image.open(folder / str(name)))).permute(2, 0, 1) / 255
            assert torch.equal(samples.everything().x[place], expected)


def test_grey_images_have_one_channel(tmp_path: Path):
    pixels = [put(tmp_path, f"{part}/one/a.png", seed, mode="L") for seed, part in enumerate(("train", "test"))]
    data = load_data(tmp_path)
    assert torch.equal(data.train.everything().x[0, 0], torch.from_numpy(pixels[0]) / 255)
    assert data.test.everything().x.shape == (1, 1, 6, 5)


def test_one_colour_image_makes_all_of_them_colour(folder: Path):
    grey = put(folder, "train/cat/grey.png", 20, mode="L")
    x = load_data(folder).train.select(["train/cat/grey.png"]).everything().x[0]
    assert torch.equal(x, torch.from_numpy(grey).expand(3, 6, 5) / 255)


def test_transparency_is_left_out(folder: Path):
    pixels = put(folder, "train/cat/clear.png", 20, mode="RGBA")
    x = load_data(folder).train.select(["train/cat/clear.png"]).everything().x[0]
    assert torch.equal(x, torch.from_numpy(pixels[..., :3]).permute(2, 0, 1) / 255)


def test_a_holdout_folder_is_read(folder: Path):
    put(folder, "holdout/cat/z.png", 30)
    holdout = load_data(folder).holdout
    assert holdout is not None
    assert (holdout.ids.tolist(), holdout.everything().y.tolist()) == (["holdout/cat/z.png"], [1])


def test_files_that_systems_hide_are_left_alone(folder: Path):
    before = load_data(folder).sha256
    (folder / "train" / ".DS_Store").touch()
    (folder / "train" / "cat" / "._a.png").touch()
    assert load_data(folder).sha256 == before


def test_images_of_two_sizes_are_refused_with_both_sizes_and_files(folder: Path):
    put(folder, "test/cat/wide.png", 20, size=(6, 9))
    with pytest.raises(DataError, match=r"got 6×5 pixels in .*/train/ant/a.png and 6×9 in .*/test/cat/wide.png; res"):
        load_data(folder)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("test/dog/x.png", r"^expected one folder per class of train in .*test, got dog; "),
        ("train/loose.png", r"^expected one folder per class of train in .*train, got loose.png; "),
        ("train/cat/more/x.png", r"^expected images \(.*\) in .*cat, got more; "),
        ("train/cat/film.gif", r"^expected images \(.*\) in .*cat, got film.gif; "),
    ],
)
def test_files_out_of_place_are_refused(folder: Path, path: str, message: str):
    put(folder, path, 20)
    with pytest.raises(DataError, match=message):
        load_data(folder)


def test_an_empty_class_is_refused(folder: Path):
    (folder / "train" / "dog").mkdir()
    with pytest.raises(DataError, match=r"^expected images in every class folder, got none in .*dog; "):
        load_data(folder)


def test_a_folder_without_classes_or_without_test_is_refused(tmp_path: Path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"^expected folders train and test in .*, got no test; "):
        load_data(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"^expected one folder per class in .*train, got none; "):
        load_data(tmp_path)


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_damaged_image_is_named(folder: Path, keep: int):
    path = folder / "train" / "cat" / "b.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"^expected an image in .*/b.png, got .*; .*damaged or foreign"):
        load_data(folder)


def test_images_of_sixteen_bits_are_refused(folder: Path):
    Image.fromarray(np.zeros((6, 5), dtype=np.uint16)).save(folder / "train" / "cat" / "deep.png")
    with pytest.raises(DataError, match=r"^expected images of 8 bits a channel, got .*deep.png of mode I(;16)?; "):
        load_data(folder)


def test_without_pillow_the_error_says_how_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"^expected Pillow .*, got none; .*obliviate\[images\]"):
        load_data(folder)


def test_an_image_that_unpacks_to_too_many_pixels_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DataError, match=r"^expected an image in .*\.png, got .*decompression bomb"):
        load_data(folder)


def test_images_that_memory_does_not_hold_are_refused_before_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("obliviate.data.formats.folder.memory", lambda: 100)
    with pytest.raises(DataError, match=r"^expected images that memory holds, got \d+ of 6×5 pixels in .*; make them"):
        load_data(folder)
