"""A set of samples with stable ids, held in memory or read from a dataset on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from obliviate.data.ids import as_ids, content_id, distinct, shown
from obliviate.errors import DataError
from obliviate.types import Batch, Ids, SampleId

CHUNK = 1024  # rows that are hashed or checked together


@runtime_checkable
class Store(Protocol):
    """Where rows come from."""

    def __len__(self) -> int: ...

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of these rows, in this order."""
        ...


@dataclass(frozen=True, eq=False)
class TensorStore:
    """Rows in memory, batched by index on the device where they live."""

    x: Shaped[Tensor, " n ..."]
    y: Shaped[Tensor, " n ..."]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        rows = rows.to(self.x.device)
        return self.x[rows], self.y[rows]


@dataclass(frozen=True, eq=False)
class DatasetStore:
    """Rows of a map-style `torch.utils.data.Dataset`, read when they are needed."""

    dataset: Dataset[Any]

    def __len__(self) -> int:
        return len(cast(Sequence[Any], self.dataset))

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        x, y = default_collate([self.dataset[int(row)] for row in rows])
        return x, y


@dataclass(frozen=True, eq=False)
class TransformedStore:
    """Rows whose inputs are transformed as they are read, for example by a random augmentation."""

    store: Store
    transform: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.store)

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        x, y = self.store.take(rows)
        return self.transform(x), y


@dataclass(frozen=True, eq=False)
class JoinedStore:
    """The rows of several stores, one store after another."""

    stores: tuple[Store, ...]

    def __len__(self) -> int:
        return sum(len(store) for store in self.stores)

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        places, xs, ys, start = [], [], [], 0
        for store in self.stores:
            here = ((rows >= start) & (rows < start + len(store))).nonzero().flatten()
            if len(here):
                x, y = store.take(rows[here] - start)
                places.append(here)
                xs.append(x)
                ys.append(y)
            start += len(store)
        order = torch.cat(places).argsort()
        x, y = torch.cat(xs), torch.cat(ys)
        return x[order.to(x.device)], y[order.to(y.device)]


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Training samples with stable ids; selecting from them never copies the data.

    `ids` has one entry a sample, in order; `rows` says where each stands in the store.

    >>> import torch
    >>> samples = Samples.from_tensors(torch.zeros(3, 4), torch.tensor([0, 1, 1]), ids=["a", "b", "c"])
    >>> samples.select(["c", "a"]).everything().y
    tensor([1, 0])
    """

    store: Store
    ids: Ids
    rows: Int[Tensor, " n"]

    @classmethod
    def from_tensors(
        cls,
        x: Shaped[Tensor, " n ..."],
        y: Shaped[Tensor, " n ..."],
        *,
        ids: Iterable[SampleId] | None = None,
    ) -> Samples:
        """Hold tensors in memory; without `ids`, a sample's id is the hash of its content.

        Raises DataError for different lengths, NaN or Inf, or duplicate ids.
        """
        if len(x) != len(y):
            raise DataError(f"expected as many targets as inputs, got {len(x)} inputs and {len(y)} targets; align them")
        return cls._of(TensorStore(x, y), ids)

    @classmethod
    def from_dataset(
        cls, dataset: Dataset[Any], *, ids: Iterable[SampleId] | None = None, in_memory: bool = True
    ) -> Samples:
        """Wrap a map-style dataset of (input, target) pairs; read it into memory once unless `in_memory` is False.

        A dataset with random transforms must not be read into memory: pass `in_memory=False` together with `ids`.
        """
        store = DatasetStore(dataset)
        if not in_memory or len(store) == 0:
            return cls._of(store, ids)
        try:
            parts = [store.take(torch.arange(i, min(i + CHUNK, len(store)))) for i in range(0, len(store), CHUNK)]
            x, y = (torch.cat(part) for part in zip(*parts, strict=True))
        except (RuntimeError, TypeError, ValueError) as error:
            raise DataError(
                f"expected pairs (input, target) that stack into tensors, got {type(dataset[0]).__name__} items that "
                f"do not ({error}); return tensors of one shape from the dataset"
            ) from error
        return cls._of(TensorStore(x, y), ids)

    @classmethod
    def _of(cls, store: Store, ids: Iterable[SampleId] | None) -> Samples:
        if len(store) == 0:
            raise DataError("expected at least one sample, got none; check the folder, the filter or the arrays")
        rows = torch.arange(len(store))
        hashes: list[SampleId] = []
        for chunk in rows.split(CHUNK):
            x, y = store.take(chunk)
            _refuse_not_finite(x, int(chunk[0]))
            _refuse_not_finite(y, int(chunk[0]))
            if ids is None:
                hashes.extend(content_id(*pair) for pair in zip(x.cpu(), y.cpu(), strict=True))
        names = distinct(hashes) if ids is None else as_ids(ids, what="ids")
        if len(names) != len(store):
            raise DataError(f"expected one id per sample, got {len(names)} ids for {len(store)} samples; align them")
        return cls(store, names, rows)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Samples(n={len(self)}, sha256='{self.sha256[:12]}')"

    @cached_property
    def _place(self) -> dict[SampleId, int]:
        return {str(name): place for place, name in enumerate(self.ids)}

    @cached_property
    def sha256(self) -> str:
        """The hash of ids and content, in order."""
        digest = hashlib.sha256()
        digest.update("\n".join(self.ids.tolist()).encode())
        for chunk in torch.arange(len(self)).split(CHUNK):
            batch = self.take(chunk)
            for part in (batch.x, batch.y):
                array = part.cpu().contiguous().numpy()
                digest.update(f"{array.dtype.str}{array.shape[1:]}".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()

    def places(self, ids: Iterable[SampleId] | Ids) -> Int[Tensor, " n"]:
        """Find where these ids stand; raises DataError for unknown or duplicate ids."""
        names = as_ids(ids, what="ids")
        unknown = [name for name in names if name not in self._place]
        if unknown:
            raise DataError(
                f"expected ids of these {len(self)} samples, got {shown(unknown)}; "
                "list the known ones with `samples.ids`"
            )
        return torch.tensor([self._place[name] for name in names], dtype=torch.long)

    def take(self, places: Int[Tensor, " n"]) -> Batch:
        """Return the samples that stand at these places."""
        x, y = self.store.take(self.rows[places])
        return Batch(x, y, self.ids[places.numpy()])

    def everything(self) -> Batch:
        """Return all samples as one batch."""
        return self.take(torch.arange(len(self)))

    def select(self, ids: Iterable[SampleId] | Ids) -> Samples:
        """Keep these ids, in the order given; raises DataError for unknown or duplicate ids."""
        return self._at(self.places(ids))

    def without(self, ids: Iterable[SampleId] | Ids) -> Samples:
        """Keep everything but these ids; raises DataError for unknown or duplicate ids."""
        keep = torch.ones(len(self), dtype=torch.bool)
        keep[self.places(ids)] = False
        return self._at(keep.nonzero().flatten())

    def at(self, included: Shaped[np.ndarray, " n"]) -> Samples:
        """Keep the samples where the mask is true."""
        return self._at(torch.from_numpy(np.flatnonzero(included)))

    def _at(self, places: Int[Tensor, " n"]) -> Samples:
        return Samples(self.store, self.ids[places.numpy()], self.rows[places])

    def to(self, device: torch.device) -> Samples:
        """Move samples that are held in memory to a device; others are moved batch by batch."""
        if isinstance(self.store, TensorStore) and self.store.x.device != device:
            return replace(self, store=TensorStore(self.store.x.to(device), self.store.y.to(device)))
        return self

    def transformed(self, transform: Callable[[Tensor], Tensor] | None) -> Samples:
        """Apply `transform` to every batch of inputs as it is read."""
        return self if transform is None else replace(self, store=TransformedStore(self.store, transform))

    def joined(self, *others: Samples) -> Samples:
        """Join several sets of samples, whose ids must differ; what is in memory is copied into one store."""
        parts = (self, *others)
        ids = as_ids(np.concatenate([part.ids for part in parts]), what="ids of the joined samples")
        if all(isinstance(part.store, TensorStore) for part in parts):
            batches = [part.everything() for part in parts]
            store = TensorStore(torch.cat([one.x for one in batches]), torch.cat([one.y for one in batches]))
            return Samples(store, ids, torch.arange(len(ids)))
        stores, rows, start = tuple(part.store for part in parts), [], 0
        for part in parts:
            rows.append(part.rows + start)
            start += len(part.store)
        return Samples(JoinedStore(stores), ids, torch.cat(rows))


def _refuse_not_finite(values: Tensor, first: int) -> None:
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        bad = (~torch.isfinite(values)).flatten(1).any(1) if values.ndim > 1 else ~torch.isfinite(values)
        row = first + int(bad.nonzero()[0])
        raise DataError(f"expected finite values, got NaN or Inf in sample {row}; clean the data or drop the sample")
