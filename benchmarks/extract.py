"""Which samples of a data set a benchmark is on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from obliviate.data.samples import Samples
from obliviate.data.sources import Data, load_data


@dataclass(frozen=True, kw_only=True)
class Extract:
    """A part of a data set: `source` is a folder of FOLDER or a shipped set.

    `owners` keeps the training samples of as many owners, those with the most samples.
    """

    source: str
    shipped: bool = False
    train_size: int | None = None
    holdout_size: int | None = None
    test_size: int = 2000
    owners: int | None = None

    def load(self, files: Path) -> Data:
        """Read it; all test samples are there, of which `tested` takes some."""
        source = self.source if self.shipped else files / self.source
        data = load_data(source, train_size=self.train_size, holdout_size=self.holdout_size)
        if self.owners is None:
            return data
        return data.without(data.train.ids[~np.isin(owners(data), most(data)[: self.owners])])

    def tested(self, data: Data) -> Samples:
        """Test samples evenly over the file, which may be sorted."""
        ids = data.test.ids
        return data.test.select(ids[:: max(len(ids) // self.test_size, 1)][: self.test_size])


def owners(data: Data) -> np.ndarray:
    """Whose each training sample is, "" for nobody's."""
    assert data.owner is not None
    return np.asarray(data.metadata[data.owner]).astype(str)


def most(data: Data) -> list[str]:
    """The owners, those with the most samples first."""
    names, counts = np.unique(owners(data), return_counts=True)
    return [name for name in names[np.lexsort((names, -counts))].tolist() if name]
