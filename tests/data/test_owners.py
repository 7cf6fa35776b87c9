"""Nobody is both trained on and counted as unseen, where samples have owners."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from obliviate.data.owners import NOBODY, drawn_whole, groups, inseparable
from obliviate.data.sources import Data, load_data
from obliviate.errors import DataError


def table(folder: Path, owners: list[str], settings: str = "") -> Path:
    """A table with a row an owner and a quantity that no two rows share, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    rows = [f"{owner},{place / 4},{place % 2}" for place, owner in enumerate(owners)]
    (folder / "people.csv").write_text("\n".join(["person,size,label", *rows]))
    (folder / "data.toml").write_text(f'path = "people.csv"\ntarget = "label"\nowner = "person"\n{settings}')
    return folder


def npz(folder: Path, **changed: Any) -> Path:
    """60 training and 12 test rows without copies, of 20 owners each, a0 … a19; the last three are in both."""
    x = np.random.default_rng(0).random((72, 3))
    arrays: dict[str, np.ndarray] = {
        "train_x": x[:60],
        "train_y": np.arange(60) % 2,
        "train_owner": np.array([f"a{i % 20}" for i in range(60)]),
        "train_ids": np.array([f"train-{i}" for i in range(60)]),
        "test_x": x[60:],
        "test_y": np.arange(12) % 2,
        "test_owner": np.array([f"a{17 + i}" for i in range(12)]),
        "test_ids": np.array([f"test-{i}" for i in range(12)]),
    }
    np.savez(folder / "mine.npz", **(arrays | changed))  # pyright: ignore[reportArgumentType]
    return folder / "mine.npz"


def parts(data: Data) -> dict[str, set[str]]:
    assert data.owner is not None
    return {"train": set(data.metadata[data.owner]), **{part: set(owners) for part, owners in data.owners.items()}}


@pytest.mark.parametrize("seed", range(3))
def test_a_test_part_is_drawn_by_owner(tmp_path: Path, seed: int):
    data = load_data(table(tmp_path, [f"p{i % 25}" for i in range(100)]), seed=seed)
    by_part = parts(data)
    assert not by_part["train"] & by_part["test"]
    assert by_part["train"] | by_part["test"] == {f"p{i}" for i in range(25)}
    assert len(data.test) == 20
    assert data.notes == ("test: 5 owners drawn, with all that is theirs",)
    assert data.sha256 == load_data(tmp_path, seed=seed).sha256 != load_data(tmp_path, seed=seed + 7).sha256


def test_owners_of_different_sizes_are_drawn_to_about_the_share(tmp_path: Path):
    owners = [f"p{i}" for i in range(30) for _ in range(1 + i % 7)]
    data = load_data(table(tmp_path, owners))
    assert not parts(data)["train"] & parts(data)["test"]
    assert abs(len(data.test) - 0.2 * len(owners)) <= 4


@pytest.mark.parametrize(
    ("owners", "reason"),
    [
        ([f"p{i % 9}" for i in range(90)], "there are only 9 owners"),
        (["big"] * 60 + [f"p{i}" for i in range(40)], "one owner has 60 of 100"),
    ],
)
def test_where_owners_cannot_be_kept_apart_a_note_says_so(tmp_path: Path, owners: list[str], reason: str):
    data = load_data(table(tmp_path, owners))
    assert len(data.test) == round(0.2 * len(owners))
    assert data.notes[0].startswith(f"test: drawn without regard to owners, for {reason}: ")
    assert "are trained on as well" in data.notes[0]


def test_without_owners_the_draw_is_that_of_rows(tmp_path: Path):
    owners = [f"p{i % 25}" for i in range(100)]
    table(tmp_path, owners)
    (tmp_path / "data.toml").write_text('path = "people.csv"\ntarget = "label"\ndrop = ["person"]\n')
    data = load_data(tmp_path)
    assert (data.owner, data.owners, data.notes) == (None, {}, ())
    assert len(data.test) == 20


@pytest.mark.parametrize("seed", range(3))
def test_a_holdout_set_is_drawn_by_owner_and_of_the_size_asked_for(tmp_path: Path, seed: int):
    data = load_data(npz(tmp_path), holdout_size=7, seed=seed)
    assert data.holdout is not None
    assert (len(data.holdout), len(data.train)) == (7, 51)
    by_part = parts(data)
    assert not by_part["train"] & by_part["holdout"]
    assert data.notes == (
        "holdout: 2 more samples of the owners drawn are left out",
        "holdout: 3 owners drawn, with all that is theirs",
    )
    smaller = load_data(npz(tmp_path), holdout_size=7, train_size=20, seed=seed)
    assert smaller.holdout is not None
    assert smaller.holdout.ids.tolist() == data.holdout.ids.tolist()
    assert set(smaller.train.ids) < set(data.train.ids)


def test_a_holdout_set_of_all_owners_is_refused(tmp_path: Path):
    assert load_data(npz(tmp_path), holdout_size=57).holdout is not None
    with pytest.raises(DataError, match=r"^expected holdout_size in 1 … 57, as many as there are to choose from"):
        load_data(npz(tmp_path), holdout_size=58)


def test_a_holdout_set_of_few_owners_is_drawn_by_rows_and_told(tmp_path: Path):
    data = load_data(npz(tmp_path, train_owner=np.array([f"a{i % 3}" for i in range(60)])), holdout_size=7)
    assert (len(data.train), data.notes[0][:72]) == (
        53,
        "holdout: drawn without regard to owners, for there are only 3 owners: 3 ",
    )


def test_owners_of_a_given_test_part_are_kept_beside_its_samples(tmp_path: Path):
    x = np.random.default_rng(0).random((72, 3))
    x[60] = x[0]  # a copy of a training sample is left out, and so is its owner
    data = load_data(npz(tmp_path, train_x=x[:60], test_x=x[60:]))
    assert data.owners["test"].tolist() == [f"a{18 + i}" for i in range(11)]
    assert len(data.test) == 11


def test_unseen_samples_of_owners_that_are_forgotten_as_a_whole_are_found(tmp_path: Path):
    data = load_data(npz(tmp_path, test_owner=np.array(["a1", "a2", *["a1"] * 3, *["b"] * 7])))
    unseen = data.unseen_of(data.ids_of("a1"))
    assert {part: ids.tolist() for part, ids in unseen.items()} == {"test": ["test-0", "test-2", "test-3", "test-4"]}
    assert data.unseen_of(data.ids_of("a1")[:2]) == {}
    assert data.unseen_of(data.ids_of("a3")) == {}
    both = [*data.ids_of("a1"), *data.ids_of("a2")]
    assert len(data.unseen_of(both)["test"]) == 5


def test_samples_of_nobody_have_nothing_in_common(tmp_path: Path):
    owners = np.array([NOBODY, "ann", NOBODY, "ann"])
    assert groups(owners).tolist() == [1, 0, 2, 0]
    nobody = np.array([NOBODY] * 90 + [f"p{i}" for i in range(10)])
    assert inseparable(nobody) is None
    assert len(drawn_whole(nobody, 20, np.random.default_rng(0))) == 20
    data = load_data(npz(tmp_path, train_owner=np.array([NOBODY, *["a"] * 59]), test_owner=np.array([NOBODY] * 12)))
    assert data.unseen_of(["train-0"]) == {}


def test_owners_may_be_numbers_in_one_part_and_texts_in_the_other(tmp_path: Path):
    data = load_data(npz(tmp_path, train_owner=np.arange(60) % 20, test_owner=np.array(["3"] * 12)))
    assert len(data.unseen_of(data.ids_of("3"))["test"]) == 12


def test_owners_of_a_test_part_that_are_not_one_a_sample_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"^expected one owner per sample, got 5 owners for 12 samples of test; "):
        load_data(npz(tmp_path, test_owner=np.array(list("abcde"))))


def test_a_test_table_of_its_own_keeps_its_owners(tmp_path: Path):
    table(tmp_path, [f"p{i % 20}" for i in range(60)], 'test = "more.csv"\n')
    (tmp_path / "more.csv").write_text("person,size,label\np3,7.4,1\nq,8.4,0\np3,9.4,1")
    data = load_data(tmp_path)
    assert data.owners["test"].tolist() == ["p3", "q", "p3"]
    assert data.unseen_of(data.ids_of("p3"))["test"].tolist() == data.test.ids[[0, 2]].tolist()
