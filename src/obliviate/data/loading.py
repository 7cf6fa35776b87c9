"""Batches whose order is a function of (seed, epoch), never of a loader's state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from obliviate._util.seeds import derive
from obliviate.data.ahead import ahead
from obliviate.data.samples import Samples
from obliviate.types import Batch

LARGEST: Final = 2**25
"""Bytes of inputs that a model is asked about at once where nothing is trained: what it computes of them is larger."""


def order(n: int, *, seed: int, epoch: int) -> Int[Tensor, " n"]:
    """Shuffle 0 … n−1 for one epoch.

    >>> sorted(order(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
    return torch.randperm(n, generator=generator)


def bounded(samples: Samples, size: int) -> int:
    """So many samples at once as asked for, or as few as hold `LARGEST` bytes of inputs, but one at least.

    >>> bounded(Samples.from_tensors(torch.zeros(2, 3, 1024, 1024), torch.zeros(2), ids=["a", "b"]), 500)
    2
    """
    bytes_each = samples.input_bytes
    return max(1, min(size, LARGEST // max(bytes_each, 1)))


@dataclass(frozen=True)
class Batches:
    """One pass over samples: a re-iterable of batches, `size` samples each, the last one possibly smaller.

    Without a `seed` the samples come in their own order. `workers` processes read what is not held in memory.
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
        seed = derive(self.seed or 0, "workers", self.epoch)
        yield from read(self.samples, list(places.split(self.size)), workers=self.workers, seed=seed)


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
    workers: int = 0

    def __len__(self) -> int:
        forget = len(Batches(self.forget, self.size))
        return forget if self.steps == "forget" else max(forget, len(Batches(self.retain, self.size)))

    def __iter__(self) -> Iterator[tuple[Batch, Batch]]:
        first = self.epoch * len(self)
        forget, retain = self._stream(self.forget, "forget", first), self._stream(self.retain, "retain", first)
        for _ in range(len(self)):
            yield next(forget), next(retain)

    def _stream(self, samples: Samples, name: str, position: int) -> Iterator[Batch]:
        seed = derive(self.seed, name)
        chunks = list(islice(self._places(samples, seed, position), len(self)))
        yield from read(samples, chunks, workers=self.workers, seed=derive(seed, "workers", self.epoch))

    def _places(self, samples: Samples, seed: int, position: int) -> Iterator[Tensor]:
        per_pass = len(Batches(samples, self.size))
        while True:
            done, offset = divmod(position, per_pass)
            for places in order(len(samples), seed=seed, epoch=done).split(self.size)[offset:]:
                yield places
                position += 1


def read(samples: Samples, chunks: list[Tensor], *, workers: int, seed: int) -> Iterator[Batch]:
    """Read batches by their places; `workers` processes read ahead what is not held in memory.

    Transforms are applied here, not in the workers, so that their random choices do not depend on the workers.
    """
    if workers:
        store = ahead(samples.store, [samples.rows[chunk] for chunk in chunks], workers, seed)
        samples = replace(samples, store=store)
    yield from map(samples.take, chunks)
