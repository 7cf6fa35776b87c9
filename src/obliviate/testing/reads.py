"""Samples that remember how often they were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from torch import Tensor

from obliviate.data.samples import Samples
from obliviate.data.stores import Store


class _RecordingStore:
    """A store that counts how often its rows were read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.store)

    def shape(self) -> tuple[int, ...]:
        return self.store.shape()

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        self.reads.update(rows.tolist())
        return self.store.take(rows)


def counted(samples: Samples) -> tuple[Samples, Callable[[], Counter[str]]]:
    """The same samples, and a function that tells how often each was read since, by its id."""
    store = _RecordingStore(samples.store)
    by_row = {int(row): str(name) for row, name in zip(samples.rows, samples.ids, strict=True)}
    counting = Samples(store, samples.ids, samples.rows)
    return counting, lambda: Counter({by_row[row]: count for row, count in store.reads.items()})


def recorded(samples: Samples) -> tuple[Samples, Callable[[], set[str]]]:
    """The same samples, and a function that tells the ids of those that were read since."""
    counting, reads = counted(samples)
    return counting, lambda: set(reads())
