"""Where the rows of samples come from: memory, a dataset that is read on demand, and what is made of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from obliviate._util.randomness import undisturbed
from obliviate.data.rows import Rows
from obliviate.errors import DataError

CHUNK = 1024  # rows that are hashed or checked together
TRIED: Final = 8  # samples that are read twice
REPEATS: Final = 16  # times that they are read again, all together: a transform that leaves half of them alone shows


@runtime_checkable
class Store(Protocol):
    """Where rows come from."""

    def __len__(self) -> int: ...

    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        ...

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

    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        rows = rows.to(self.x.device, non_blocking=True)  # does not wait for what the device still computes
        return _picked(self.x, rows), _picked(self.y, rows)


@dataclass(frozen=True, eq=False)
class DatasetStore:
    """Rows of a map-style `torch.utils.data.Dataset`, read when they are needed.

    Where nobody has looked at all of them, they are looked at as they are read: `unchecked`.
    """

    dataset: Dataset[Any]
    unchecked: bool = False

    def __len__(self) -> int:
        return len(cast(Sequence[Any], self.dataset))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return shape_of(self)

    def shape(self) -> tuple[int, ...]:
        return self._shape

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        numbers = rows.tolist()
        together = getattr(self.dataset, "__getitems__", None)  # as torch's loaders ask for the items of a batch
        items = [self.dataset[row] for row in numbers] if together is None else together(numbers)
        return self.checked(*_stacked(items, rows), rows)

    def labels(self) -> Tensor | None:
        """The targets of all rows where they are known without the inputs (`Rows.labels`), else None."""
        return self.dataset.labels() if isinstance(self.dataset, Rows) else None

    def checked(self, x: Tensor, y: Tensor, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """These rows as they were read; raises DataError for NaN or Inf where nobody has looked for them."""
        if self.unchecked:
            for part in (x, y):
                refuse_not_finite(part, rows)
        return x, y


@dataclass(frozen=True, eq=False)
class TransformedStore:
    """Rows whose inputs are transformed as they are read, for example by a random augmentation."""

    store: Store
    transform: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.store)

    def shape(self) -> tuple[int, ...]:
        return shape_of(self)

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        x, y = self.store.take(rows)
        return self.transform(x), y


@dataclass(frozen=True, eq=False)
class JoinedStore:
    """The rows of several stores, one store after another."""

    stores: tuple[Store, ...]

    def __len__(self) -> int:
        return sum(len(store) for store in self.stores)

    def shape(self) -> tuple[int, ...]:
        return self.stores[0].shape()

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        places, xs, ys = [], [], []
        for store, positions, asked in self.parts(rows):
            if len(positions):
                x, y = store.take(asked)
                places.append(positions)
                xs.append(x)
                ys.append(y)
        refuse_other_shapes(xs)
        # Rows in memory may be on a device already, where those that are read on demand are not.
        device = next((x.device for x in xs if x.device.type != "cpu"), xs[0].device)
        order = torch.cat(places).argsort().to(device)
        x, y = (torch.cat([part.to(device) for part in parts]) for parts in (xs, ys))
        return x[order], y[order]

    def parts(self, rows: Int[Tensor, " n"]) -> Iterator[tuple[Store, Tensor, Tensor]]:
        """For each store: which of these rows, by their positions, are its own, and their numbers there."""
        start = 0
        for store in self.stores:
            positions = ((rows >= start) & (rows < start + len(store))).nonzero().flatten()
            yield store, positions, rows[positions] - start
            start += len(store)


def shape_of(store: Store) -> tuple[int, ...]:
    """The shape of the first input; random states are left as they were."""
    with undisturbed():
        return tuple(store.take(torch.zeros(1, dtype=torch.long))[0].shape[1:])


def moved_store(store: Store, rows: Int[Tensor, " n"], device: torch.device) -> tuple[Store, Int[Tensor, " n"]]:
    """A store whose rows in memory, of those asked for, are on a device, and where these stand in it.

    The store itself comes back where nothing has to move.
    """
    if isinstance(store, TensorStore):
        if _same(store.x.device, device):
            return store, rows
        x, y = store.take(rows)
        return TensorStore(x.to(device), y.to(device)), torch.arange(len(rows))
    if isinstance(store, TransformedStore):
        inner, rows = moved_store(store.store, rows, device)
        return (store if inner is store.store else replace(store, store=inner)), rows
    if isinstance(store, JoinedStore):
        stores, places, start = list[Store](), rows.clone(), 0
        for part, positions, asked in store.parts(rows):
            moved, numbers = moved_store(part, asked, device)
            stores.append(moved)
            places[positions] = numbers + start
            start += len(moved)
        same = all(moved is part for moved, part in zip(stores, store.stores, strict=True))
        return (store, rows) if same else (JoinedStore(tuple(stores)), places)
    return store, rows


def _same(device: torch.device, wanted: torch.device) -> bool:
    """Whether tensors on this device are where they are wanted: on any device of a kind if no number is asked for."""
    return device.type == wanted.type and wanted.index in {None, device.index}


def _stacked(items: list[Any], rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Stack pairs (input, target) into two tensors; raises DataError for items that do not stack."""
    problem = ""
    if odd := [item for item in items if not isinstance(item, tuple | list) or len(item) != 2]:
        problem = f"{type(odd[0]).__name__} items" + (f" of length {len(odd[0])}" if isinstance(odd[0], tuple) else "")
    else:
        try:
            x, y = default_collate(items)
        except (RuntimeError, TypeError, ValueError) as error:
            shapes = [tuple(np.shape(item[0])) for item in items]
            for row, shape in zip(rows.tolist(), shapes, strict=True):
                if shape != shapes[0]:
                    raise _other_shape(shape, shapes[0], row) from error
            problem = f"{type(items[0]).__name__} items that do not ({error})"
        else:
            if isinstance(x, Tensor) and isinstance(y, Tensor):
                return x, y
            problem = f"{type(items[0]).__name__} items of {type(x).__name__} and {type(y).__name__}"
    raise DataError(
        f"expected pairs (input, target) that stack into tensors, got {problem}; "
        "return two tensors, arrays or numbers of one shape from the dataset"
    )


def chunks(
    store: Store, rows: Int[Tensor, " n"], take: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Read rows some at a time, from the store or by `take`: their numbers, inputs and targets.

    Raises DataError for NaN, Inf, and inputs of more than one shape.
    """
    shape: tuple[int, ...] | None = None
    for some in rows.split(CHUNK):
        x, y = (take or store.take)(some)
        shape = tuple(x.shape[1:]) if shape is None else shape
        if x.shape[1:] != shape:
            raise _other_shape(tuple(x.shape[1:]), shape, int(some[0]))
        refuse_not_finite(x, some)
        refuse_not_finite(y, some)
        yield some, x, y


def refuse_unsteady(store: Store, rows: Int[Tensor, " n"], *, what: str, remedy: str = "") -> None:
    """Refuse rows of which some are others when they are read again; raises DataError."""
    some = rows[torch.linspace(0, len(rows) - 1, min(TRIED, len(rows))).long()]
    with undisturbed():
        first = store.take(some)
        for _ in range(REPEATS // len(some)):
            for tensor, again in zip(first, store.take(some), strict=True):
                if (place := _differing(tensor, again)) is not None:
                    raise DataError(
                        f"expected {what} the same item twice, got another sample {int(some[place])} the second time; "
                        f"leave out random transforms (augmentation belongs to the recipe){remedy}"
                    )


def _differing(reading: Shaped[Tensor, " n ..."], other: Shaped[Tensor, ...]) -> int | None:
    """The first place at which two readings differ; NaN is equal to NaN."""
    if reading.shape != other.shape:
        return 0
    differ = (reading != other) & ~(reading.isnan() & other.isnan())
    places = differ.reshape(len(reading), -1).any(1).nonzero()
    return int(places[0]) if len(places) else None


def _other_shape(got: tuple[int, ...], before: tuple[int, ...], row: int) -> DataError:
    return DataError(f"expected samples of one shape, got {got} in sample {row} and {before} before it; resize them")


def refuse_other_shapes(parts: list[Tensor]) -> None:
    """Refuse inputs of several shapes; raises DataError."""
    shapes = list(dict.fromkeys(tuple(part.shape[1:]) for part in parts))
    if len(shapes) > 1:
        raise DataError(f"expected samples of one shape, got {shapes[0]} and {shapes[1]}; resize them")


def refuse_not_finite(values: Tensor, rows: Int[Tensor, " n"]) -> None:
    """Refuse NaN and Inf in these rows; raises DataError that names the first such row."""
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        bad = (~torch.isfinite(values)).flatten(1).any(1) if values.ndim > 1 else ~torch.isfinite(values)
        row = int(rows[int(bad.nonzero()[0])])
        raise DataError(f"expected finite values, got NaN or Inf in sample {row}; clean the data or drop the sample")


def _picked(values: Shaped[Tensor, " n ..."], rows: Int[Tensor, " k"]) -> Shaped[Tensor, " k ..."]:
    """These rows of a tensor, in the memory order that indexing gives them."""
    # The same bits as by indexing, at a fifth of its time; only of a contiguous tensor also in the same memory order.
    return values.index_select(0, rows) if values.is_contiguous() else values[rows]
