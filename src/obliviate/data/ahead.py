"""Rows of datasets that other processes read before they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from obliviate._util.seeds import derive
from obliviate.data.stores import DatasetStore, JoinedStore, Store, TransformedStore


@dataclass(frozen=True, eq=False)
class AheadStore:
    """Rows of a dataset that other processes read, in the order in which they will be asked for."""

    source: Store
    batches: Iterator[Any]

    def __len__(self) -> int:
        return len(self.source)

    def shape(self) -> tuple[int, ...]:
        return self.source.shape()

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        x, y = next(self.batches)
        assert len(x) == len(rows)
        return self.source.checked(x, y, rows) if isinstance(self.source, DatasetStore) else (x, y)


def ahead(store: Store, requests: list[Tensor], workers: int, seed: int) -> Store:
    """Return the same store, with its datasets read ahead by so many processes for these requests, in their order."""
    if isinstance(store, DatasetStore):
        generator = torch.Generator().manual_seed(seed)
        rows = [request.tolist() for request in requests]
        loader: DataLoader[Any] = DataLoader(
            store.dataset, batch_sampler=rows, num_workers=workers, generator=generator
        )
        return AheadStore(store, iter(loader))
    if isinstance(store, TransformedStore):
        return replace(store, store=ahead(store.store, requests, workers, seed))
    if isinstance(store, JoinedStore):
        asked: list[list[Tensor]] = [[] for _ in store.stores]
        for rows in requests:
            for place, (_, _, numbers) in enumerate(store.parts(rows)):
                if len(numbers):
                    asked[place].append(numbers)
        stores = enumerate(store.stores)
        return JoinedStore(tuple(ahead(part, asked[i], workers, derive(seed, i)) for i, part in stores))
    return store
