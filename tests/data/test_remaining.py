"""Tables of which rows are gone: what is left becomes the same numbers as before."""

from pathlib import Path

import numpy as np
import pytest

from obliviate.data.remaining import RowIndex, load_remaining
from obliviate.data.sources import load_data
from obliviate.errors import DataError

TOWNS = ("Ulm", "Bonn", "Köln")


def write(folder: Path, rows: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "people.csv").write_text("name,age,town,paid\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (folder / "data.toml").write_text(
        'path = "people.csv"\ntarget = "paid"\nowner = "name"\nmetadata = ["town"]\ntest_share = 0.25\n',
        encoding="utf-8",
    )


def people() -> list[str]:
    rng = np.random.default_rng(0)
    return [
        f"p{row // 2},{rng.integers(18, 90)}.{row},{TOWNS[row % 2] if row else TOWNS[2]},{rng.choice(['yes', 'no'])}"
        for row in range(60)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "people", people())
    return tmp_path / "people"


@pytest.mark.parametrize("first", [0, 1, 7])
def test_a_table_without_some_rows_is_what_it_was_of_the_others(folder: Path, first: int) -> None:
    whole = load_data(folder, seed=first)
    index = RowIndex.from_dict(RowIndex.of(whole).to_dict())
    rows = people()
    write(folder, rows[4:10] + rows[11:])  # people 0 and 1, who alone had a category, and one row of person 5
    left = load_remaining(folder, index, seed=first, sha256=whole.sha256)

    for part in ("train", "test"):
        before, after = getattr(whole, part), getattr(left, part)
        same = before.select([name for name in before.ids if name in set(after.ids)])
        assert same.sha256 == after.sha256
    gone = np.setdiff1d(whole.train.ids, left.train.ids)
    assert sorted(left.erased.ids) == sorted(gone)
    assert len(whole.train) + len(whole.test) - len(left.train) - len(left.test) == 5
    assert left.features is not None
    assert whole.features is not None
    assert left.features.to_dict() == whole.features.to_dict()
    kept = np.isin(whole.train.ids, left.train.ids)
    assert left.metadata["town"].tolist() == whole.metadata["town"][kept].tolist()
    assert left.owners["test"].tolist() == whole.owners["test"][np.isin(whole.test.ids, left.test.ids)].tolist()
    assert (left.sha256, left.targets) == (whole.sha256, whole.targets)


def test_a_changed_cell_and_a_new_row_are_told(folder: Path) -> None:
    whole = load_data(folder)
    index, rows = RowIndex.of(whole), people()
    write(folder, [*rows[1:], "p99,30.5,Ulm,yes", "p98,31.5,Ulm,yes"])
    with pytest.raises(DataError, match="got 2 more"):
        load_remaining(folder, index, seed=0, sha256=whole.sha256)
    write(folder, [*rows[1:-1], rows[-1].replace("p29,", "p29,1")])
    with pytest.raises(DataError, match="no samples but those of before, got 1 more"):
        load_remaining(folder, index, seed=0, sha256=whole.sha256)


def test_a_part_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    x, y = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6) % 2
    np.savez(path, train_x=x[:4], train_y=y[:4], test_x=x[4:], test_y=y[4:])
    whole = load_data(path)
    np.savez(path, train_x=x[:4], train_y=y[:4], test_x=x[:1], test_y=y[:1])
    with pytest.raises(DataError, match=r"expected some test samples in .*, got none of those before|got 1 more"):
        load_remaining(path, RowIndex.of(whole), seed=0, sha256=whole.sha256)
