"""Sets that are there without a download: what scikit-learn installs, and pairs of the shipped images."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from obliviate._util.seeds import derive
from obliviate.data.features import Targets
from obliviate.data.formats.base import Arrays, Contents
from obliviate.data.formats.description import Description
from obliviate.data.formats.tabular import held_out, table_contents
from obliviate.data.tables import Table

TEST_SHARE: Final = 0.2
ITEMS: Final = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def diabetes(seed: int) -> Contents:
    """Ten measurements of 442 patients, and how far their diabetes had gone a year later (Efron et al. 2004).

    scikit-learn installs it; a fifth is drawn to test on.
    """
    from sklearn.datasets import load_diabetes

    raw = load_diabetes(scaled=False)
    values = np.column_stack([raw.data, raw.target])  # pyright: ignore[reportAttributeAccessIssue]
    cells = {
        name: np.array([str(value) for value in column.tolist()], dtype=object)
        for name, column in zip([*raw.feature_names, "progression"], values.T, strict=True)  # pyright: ignore[reportAttributeAccessIssue]
    }
    table = Table(cells, np.arange(1, len(values) + 1), "diabetes")
    description = Description(
        path=Path("diabetes"), kind="regression", target=("progression",), categorical=("sex",), test_share=TEST_SHARE
    )
    train, test = (table.take(rows) for rows in held_out(len(table), TEST_SHARE, seed))
    return table_contents(train, test, description)


def digits(seed: int) -> Contents:
    """1,797 digits of 8×8 pixels, written by 43 people who are not named (Alpaydin and Kaynak 1998, UCI, CC BY 4.0).

    scikit-learn installs it; a fifth is drawn to test on.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    x, y = (raw.images / 16).astype(np.float32), raw.target  # pyright: ignore[reportAttributeAccessIssue]
    arrays: Arrays = {}
    for part, rows in zip(("train", "test"), held_out(len(y), TEST_SHARE, seed), strict=True):
        arrays |= {f"{part}_x": x[rows], f"{part}_y": y[rows]}
    return Contents(arrays)


def pairs(arrays: Arrays) -> Contents:
    """Put two images side by side, each image in one pair only: the labels are the classes that occur.

    Which images make a pair is fixed, whatever the seed.
    """
    classes = len(ITEMS)
    paired: Arrays = {}
    # The words after the parts are those that seeds are derived from: they decide which images make a pair.
    for part, word in (("train", "train"), ("holdout", "reference"), ("test", "test")):
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        left, right = np.random.default_rng(derive(0, "pairs", word)).permutation(len(x) // 2 * 2).reshape(2, -1)
        marks = np.zeros((len(left), classes), dtype=np.float32)
        for side in (left, right):
            marks[np.arange(len(left)), y[side]] = 1
        paired |= {f"{part}_x": np.concatenate([x[left], x[right]], axis=-1), f"{part}_y": marks}
    return Contents(paired, kind="multi-label", classes=classes, targets=Targets(ITEMS))
