"""Samples whose rows the source no longer holds: their names and hashes are known, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt64
from torch import Tensor

from obliviate.data.samples import Samples, facts_of
from obliviate.data.stores import JoinedStore
from obliviate.errors import DataError
from obliviate.types import Ids

REMEDY: Final = "retrain and sisa do without them; for all else, restore the rows"


@dataclass(frozen=True, eq=False)
class ErasedStore:
    """Rows that cannot be read: so many inputs of a shape; reading one raises DataError."""

    count: int
    input_shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.count

    def shape(self) -> tuple[int, ...]:
        return self.input_shape

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        raise DataError(f"expected rows that the source still holds, got {len(rows):,} that were erased; {REMEDY}")


@dataclass(frozen=True, eq=False)
class Erased:
    """Training samples that the source no longer holds: their ids, and the hash of each input (`Samples.inputs`).

    `trained` are the ids of all that was trained on, in order, where some are gone.

    >>> Erased().joined_to(Samples.from_tensors(torch.zeros(1, 2), torch.zeros(1), ids=["a"])).ids.tolist()
    ['a']
    """

    ids: Ids = field(default_factory=lambda: np.array([], dtype=np.str_))
    inputs: UInt64[np.ndarray, " n"] = field(default_factory=lambda: np.array([], dtype=np.uint64))
    trained: Shaped[np.ndarray, " _"] = field(default_factory=lambda: np.array([], dtype=np.str_))

    def __len__(self) -> int:
        return len(self.ids)

    def but(self, ids: Ids) -> Erased:
        """Those that are not among these ids."""
        left = ~np.isin(self.ids, ids)
        return Erased(self.ids[left], self.inputs[left], self.trained)

    def joined_to(self, train: Samples) -> Samples:
        """The training samples with these behind them, whose rows cannot be read.

        >>> train = Samples.from_tensors(torch.zeros(1, 2), torch.zeros(1), ids=["a"])
        >>> whole = Erased(np.array(["b"]), np.array([7], dtype=np.uint64)).joined_to(train)
        >>> whole.ids.tolist(), erased_ids(whole).tolist()
        (['a', 'b'], ['b'])
        """
        if not len(self):
            return train
        gone = Samples(ErasedStore(len(self), train.shape), self.ids, torch.arange(len(self)))
        whole = train.joined(gone)
        whole.__dict__["inputs"] = np.concatenate([train.inputs, self.inputs])
        return whole


def erased_ids(samples: Samples) -> Ids:
    """The ids of those samples whose rows were erased."""
    store, rows = samples.store, samples.rows
    if isinstance(store, ErasedStore):
        return samples.ids
    if isinstance(store, JoinedStore):
        gone = [places for part, places, _ in store.parts(rows) if isinstance(part, ErasedStore)]
        return samples.ids[torch.cat(gone).numpy()] if gone else samples.ids[:0]
    return samples.ids[:0]


def readable(samples: Samples) -> Samples:
    """The same samples, of a store without erased rows where none of theirs is; and as they are where one is.

    >>> train = Samples.from_tensors(torch.zeros(1, 2), torch.zeros(1), ids=["a"])
    >>> whole = Erased(np.array(["b"]), np.array([7], dtype=np.uint64)).joined_to(train)
    >>> type(readable(whole.without(["b"])).store).__name__
    'TensorStore'
    """
    store = samples.store
    if not isinstance(store, JoinedStore) or not isinstance(store.stores[-1], ErasedStore) or len(erased_ids(samples)):
        return samples
    first, *others = store.stores[:-1]
    kept = Samples(JoinedStore((first, *others)) if others else first, samples.ids, samples.rows)
    kept.__dict__.update(facts_of(samples))
    return kept
