import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from obliviate.data.selection import hashes, select
from obliviate.data.sources import Data, load_data
from obliviate.errors import DataError


def arrays(**changed: Any) -> dict[str, np.ndarray]:
    """20 training and 8 test samples without copies; the first pixel of a training sample is its number."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (28, 4), dtype=np.uint8), np.arange(28) % 3
    x[:, 0] = np.arange(28)
    return {"train_x": x[:20], "train_y": y[:20], "test_x": x[20:], "test_y": y[20:]} | changed


def numbers(chosen: dict[str, np.ndarray], part: str) -> list[int]:
    return chosen[f"{part}_x"][:, 0].tolist()


def drawn(seed: int = 0, *, train_size: int | None = None, holdout_size: int | None = None) -> dict[str, np.ndarray]:
    return selected(arrays(), train_size=train_size, holdout_size=holdout_size, seed=seed)[0]


def selected(
    columns: dict[str, np.ndarray], *, train_size: int | None = None, holdout_size: int | None = None, seed: int = 0
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    result = select(columns, train_size=train_size, holdout_size=holdout_size, seed=seed)
    return result.arrays, result.notes


def loaded(folder: Path, columns: dict[str, np.ndarray], **sizes: int) -> Data:
    np.savez(folder / "mine.npz", **columns)  # pyright: ignore[reportArgumentType]
    return load_data(folder / "mine.npz", **sizes)


# Drawing


def test_nothing_is_changed_or_copied_where_nothing_is_asked_for():
    columns = arrays()
    chosen, notes = selected(columns)
    assert notes == ()
    assert chosen.keys() == columns.keys()
    assert all(chosen[name] is columns[name] for name in columns)


def test_holdout_samples_are_taken_out_of_the_training_samples():
    chosen = drawn(holdout_size=5)
    train, holdout = numbers(chosen, "train"), numbers(chosen, "holdout")
    assert (len(train), len(holdout)) == (15, 5)
    assert sorted(train + holdout) == list(range(20))
    assert chosen["holdout_y"].tolist() == [number % 3 for number in holdout]


def test_what_is_drawn_keeps_the_order_of_the_source():
    chosen = drawn(train_size=12, holdout_size=5)
    for part in ("train", "holdout"):
        assert numbers(chosen, part) == sorted(numbers(chosen, part))


def test_the_draw_is_a_function_of_the_seed_alone():
    assert numbers(drawn(seed=3, train_size=10), "train") == numbers(drawn(seed=3, train_size=10), "train")
    assert numbers(drawn(seed=3, train_size=10), "train") != numbers(drawn(seed=4, train_size=10), "train")


@pytest.mark.parametrize("holdout_size", [None, 5])
def test_a_smaller_training_set_is_a_part_of_a_larger_one_with_the_same_holdout(holdout_size: int | None):
    draws = [drawn(train_size=n, holdout_size=holdout_size) for n in (1, 6, 15)]
    sets = [set(numbers(draw, "train")) for draw in draws]
    assert sets[0] < sets[1] < sets[2]
    if holdout_size:
        assert len({tuple(numbers(draw, "holdout")) for draw in draws}) == 1


def test_every_sample_is_drawn_equally_often():
    counts = np.zeros(20)
    for seed in range(300):
        counts[numbers(drawn(seed=seed, train_size=10), "train")] += 1
    assert counts.min() > 110  # 150 expected, standard deviation 8.7
    assert counts.max() < 190


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train_size": 0}, r"^expected train_size in 1 … 20, .*, got 0; "),
        ({"train_size": 21}, r"^expected train_size in 1 … 20, .*, got 21; "),
        ({"train_size": 16, "holdout_size": 5}, r"^expected train_size in 1 … 15, .*, got 16; "),
        ({"holdout_size": 20}, r"^expected holdout_size in 1 … 19, .*, got 20; "),
        ({"holdout_size": -1}, r"^expected holdout_size in 1 … 19, .*, got -1; "),
    ],
)
def test_sizes_out_of_range_are_refused(sizes: dict[str, int], message: str):
    with pytest.raises(DataError, match=message):
        drawn(**sizes)


def test_a_second_holdout_set_is_refused():
    with pytest.raises(DataError, match=r"^expected data without a holdout set, .* got 500 holdout samples; "):
        load_data("fashion_mnist_5k", holdout_size=100)


def test_ids_of_the_user_go_with_their_samples(tmp_path: Path):
    columns = arrays(train_ids=np.array([f"s{i}" for i in range(20)]), train_extra=np.zeros(3))
    data = loaded(tmp_path, columns, train_size=7, holdout_size=4)
    assert data.holdout is not None
    for samples in (data.train, data.holdout):
        batch = samples.everything()
        assert [f"s{round(255 * float(x))}" for x in batch.x[:, 0]] == samples.ids.tolist()


def test_the_number_of_classes_is_that_of_the_whole_source(tmp_path: Path):
    assert loaded(tmp_path, arrays(), train_size=1).classes == 3
    assert {loaded(tmp_path, arrays(), train_size=n).sha256 for n in (5, 6)} == {
        loaded(tmp_path, arrays(), train_size=n).sha256 for n in (6, 5)
    }


# Copies


def test_test_samples_that_are_trained_on_are_left_out_and_counted(tmp_path: Path):
    columns = arrays()
    columns["test_x"] = np.concatenate([columns["train_x"][[3, 3, 7]], columns["test_x"]])
    columns["test_y"] = np.concatenate([[0, 1, 1], columns["test_y"]])
    data = loaded(tmp_path, columns)
    assert torch.equal(data.test.everything().x, torch.from_numpy(arrays()["test_x"]) / 255)
    assert data.notes == ("test: 3 of 11 samples left out, copies of training samples",)
    assert len(data.train.joined(data.test)) == 28


def test_holdout_samples_that_are_in_train_or_test_are_left_out():
    columns = arrays()
    mine = np.full((1, 4), 255, dtype=np.uint8)
    columns["holdout_x"] = np.concatenate([columns["train_x"][:1], mine, columns["test_x"][:2]])
    columns["holdout_y"] = np.array([0, 1, 2, 0])
    chosen, notes = selected(columns)
    assert np.array_equal(chosen["holdout_x"], mine)
    assert chosen["holdout_y"].tolist() == [1]
    assert notes == ("holdout: 3 of 4 samples left out, copies of training or test samples",)


def test_copies_within_train_are_kept_and_told(tmp_path: Path):
    columns = arrays()
    columns["train_x"] = columns["train_x"].copy()
    columns["train_x"][[4, 5, 9]] = columns["train_x"][0]
    columns["train_y"] = np.zeros(20, dtype=int)
    data = loaded(tmp_path, columns)
    assert len(data.train) == 20
    assert data.notes == ("train: 3 of 20 inputs are exact copies of others; forgetting one keeps the rest",)
    first = str(data.train.ids[0])
    assert data.train.ids[[4, 5, 9]].tolist() == [f"{first}-2", f"{first}-3", f"{first}-4"]


def test_a_test_sample_whose_copy_was_not_drawn_is_unseen_and_stays():
    columns = arrays()
    columns["test_x"] = np.concatenate([columns["test_x"], columns["train_x"]])
    columns["test_y"] = np.concatenate([columns["test_y"], columns["train_y"]])
    chosen, _ = selected(columns, train_size=6)
    assert len(chosen["test_x"]) == 8 + 20 - 6
    assert not set(numbers(chosen, "test")) & set(numbers(chosen, "train"))


def test_the_drawn_holdout_set_holds_no_copy_of_any_other_sample():
    columns = arrays()
    columns["train_x"] = columns["train_x"].copy()
    columns["train_x"][10:14] = columns["train_x"][0:4]
    columns["test_x"] = np.concatenate([columns["test_x"], columns["train_x"][4:6]])
    columns["test_y"] = np.append(columns["test_y"], [0, 0])
    single = {6, 7, 8, 9, 14, 15, 16, 17, 18, 19}
    for seed in range(20):
        chosen, _ = selected(columns, holdout_size=10, seed=seed)
        assert set(numbers(chosen, "holdout")) == single
        assert len(chosen["train_x"]) == 10
    with pytest.raises(DataError, match=r"^expected holdout_size in 1 … 10, "):
        select(columns, train_size=None, holdout_size=11, seed=0)


@pytest.mark.parametrize("part", ["test", "holdout"])
def test_a_part_that_is_nothing_but_copies_is_refused(part: str):
    columns = arrays()
    columns |= {f"{part}_x": columns["train_x"][:2], f"{part}_y": columns["train_y"][:2]}
    with pytest.raises(DataError, match=rf"^expected {part} samples .*, got only copies; "):
        select(columns, train_size=None, holdout_size=None, seed=0)


def test_inputs_are_copies_if_a_model_receives_the_same():
    x = np.array([[0.1, 0.2], [0.1, 0.2 + 1e-12], [0.1, 0.3], [0.2, 0.1]])
    names = hashes(x)
    assert names[0] == names[1]
    assert len(set(names.tolist())) == 3
    assert hashes(np.array([[0, 1]], dtype=np.uint8))[0] == hashlib.blake2b(b"\x00\x01", digest_size=16).hexdigest()
