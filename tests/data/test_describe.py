"""What data were understood to be is said in a few lines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from obliviate import load_data


def saved(folder: Path, shape: tuple[int, ...], dtype: type) -> Path:
    rng = np.random.default_rng(0)
    x = [rng.random((n, *shape)) if dtype is np.float32 else rng.integers(0, 256, (n, *shape)) for n in (30, 12)]
    arrays: dict[str, Any] = {"train_x": x[0].astype(dtype), "test_x": x[1].astype(dtype)}
    np.savez(folder / "a.npz", **arrays, train_y=np.arange(30) % 3, test_y=np.arange(12) % 3)
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("shape", "dtype", "what"),
    [
        ((8, 8), np.uint8, "grey images of 8×8"),
        ((8, 9, 3), np.uint8, "RGB images of 8×9"),
        ((7, 8, 9), np.uint8, "images of 7 channels and 8×9 pixels"),
        ((2, 64), np.float32, "sequences of 2 channels, 64 long,"),
        ((6,), np.uint8, "rows of 6 numbers"),
    ],
    ids=["grey", "colour", "channels", "sequences", "rows"],
)
def test_arrays(tmp_path: Path, shape: tuple[int, ...], dtype: type, what: str):
    first, second = load_data(saved(tmp_path, shape, dtype)).describe().splitlines()
    assert first == f"30 {what} in [0, 1], 3 classes (0, 1, 2)"
    assert second == "12 test samples beside them"


def test_tables_with_owners_and_columns_that_are_no_inputs(tmp_path: Path):
    rows = [f"p{row % 20},{20 + row / 3:.1f},{('Oslo', 'Rome')[row % 2]},{row % 3},x{row}" for row in range(80)]
    (tmp_path / "people.csv").write_text("\n".join(["person,age,town,class,note", *rows]))
    (tmp_path / "data.toml").write_text('path = "people.csv"\ntarget = "class"\nowner = "person"\ndrop = ["note"]')
    lines = load_data(tmp_path).describe().splitlines()
    assert lines[0] == (
        "64 rows of 3 inputs: 1 numeric column, 1 categorical, 2 not among the inputs (note, person); "
        "3 classes (0, 1, 2)"
    )
    assert lines[2] == "about 16 owners, by 'person'"


def test_holdout_samples_and_texts(tmp_path: Path):
    beside = load_data("digits", holdout_size=100).describe().splitlines()[1]
    assert beside == "100 holdout and 359 test samples beside them"
    speeches = [f"A:\nline number {place} of the first.\n\nB:\nand {place} more of it.\n\n" for place in range(300)]
    (tmp_path / "input.txt").write_text("".join(speeches))
    assert " windows of text of 128 tokens, vocabulary of " in load_data(tmp_path).describe()
