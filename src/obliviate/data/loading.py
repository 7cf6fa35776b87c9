"""Batches whose order is a function of (seed, epoch), never of a loader's state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from obliviate.data.samples import DatasetStore, Samples
from obliviate.seeds import derive
from obliviate.types import Batch


def order(n: int, *, seed: int, epoch: int) -> Int[Tensor, " n"]:
    """Shuffle 0 … n−1 for one epoch.

    >>> sorted(order(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
    return torch.randperm(n, generator=generator)


@dataclass(frozen=True)
class Batches:
    """One pass over samples: a re-iterable of batches, `size` samples each, the last one possibly smaller.

    Without a `seed` the samples come in their own order. `workers` read a dataset that is not held in memory.
    """

    samples: Samples
    size: int
    seed: int | None = None
    epoch: int = 0
    workers: int = 0

    def __len__(self) -> int:
        return math.ceil(len(self.samples) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.samples)
        places = torch.arange(n) if self.seed is None else order(n, seed=self.seed, epoch=self.epoch)
        chunks = list(places.split(self.size))
        store = self.samples.store
        if isinstance(store, DatasetStore) and self.workers:
            yield from self._read_ahead(store, chunks)
        else:
            yield from map(self.samples.take, chunks)

    def _read_ahead(self, store: DatasetStore, chunks: list[Tensor]) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            store.dataset,
            batch_sampler=[self.samples.rows[chunk].tolist() for chunk in chunks],
            num_workers=self.workers,
            generator=torch.Generator().manual_seed(derive(self.seed or 0, "workers", self.epoch)),
        )
        for chunk, (x, y) in zip(chunks, loader, strict=True):
            yield Batch(x, y, self.samples.ids[chunk.numpy()])


@dataclass(frozen=True)
class PairedBatches:
    """Forget batches beside retain batches, the shorter set cycling.

    Both sets are endless streams of shuffled passes; `epoch` says where in the streams this one begins, so that
    the retain stream goes on where the last epoch left it. An epoch has as many steps as the forget set has batches
    (`steps="forget"`), or as the longer of the two has (`steps="longest"`).
    """

    forget: Samples
    retain: Samples
    size: int
    seed: int
    epoch: int
    steps: Literal["forget", "longest"] = "forget"

    def __len__(self) -> int:
        forget = len(Batches(self.forget, self.size))
        return forget if self.steps == "forget" else max(forget, len(Batches(self.retain, self.size)))

    def __iter__(self) -> Iterator[tuple[Batch, Batch]]:
        first = self.epoch * len(self)
        forget, retain = self._stream(self.forget, "forget", first), self._stream(self.retain, "retain", first)
        for _ in range(len(self)):
            yield next(forget), next(retain)

    def _stream(self, samples: Samples, name: str, position: int) -> Iterator[Batch]:
        per_pass = len(Batches(samples, self.size))
        seed = derive(self.seed, name)
        while True:
            done, offset = divmod(position, per_pass)
            for places in order(len(samples), seed=seed, epoch=done).split(self.size)[offset:]:
                yield samples.take(places)
                position += 1
