"""A set of samples with stable ids, held in memory or read from a dataset on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt64
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from obliviate._util.randomness import undisturbed
from obliviate.data.content import as_array, content_id, input_hashes
from obliviate.data.ids import as_ids, distinct, shown
from obliviate.data.rows import Item, Reading, rows_of
from obliviate.errors import DataError
from obliviate.types import Batch, Ids, SampleId, widened

REPEAT: Final = "\x1f"  # between an id and the number of its repetition
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
    """Rows of a map-style `torch.utils.data.Dataset`, read when they are needed."""

    dataset: Dataset[Any]

    def __len__(self) -> int:
        return len(cast(Sequence[Any], self.dataset))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return _shape_of(self)

    def shape(self) -> tuple[int, ...]:
        return self._shape

    def take(self, rows: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        return _stacked([self.dataset[int(row)] for row in rows], rows)


@dataclass(frozen=True, eq=False)
class TransformedStore:
    """Rows whose inputs are transformed as they are read, for example by a random augmentation."""

    store: Store
    transform: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.store)

    def shape(self) -> tuple[int, ...]:
        return _shape_of(self)

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
        _refuse_other_shapes(xs)
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
        """Hold tensors in memory, bfloat16 as float32; without `ids`, a sample's id is the hash of its content.

        Raises DataError for what are no plain tensors of real numbers, for different lengths, NaN or Inf, or duplicate
        ids.
        """
        x, y = _plain_tensor(x, what="inputs"), _plain_tensor(y, what="targets")
        if len(x) != len(y):
            raise DataError(f"expected as many targets as inputs, got {len(x)} inputs and {len(y)} targets; align them")
        return cls._of(TensorStore(widened(x), widened(y)), ids)

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        inputs: str | Sequence[str] | None = None,
        label: str | None = None,
        item: Item | None = None,
        ids: Iterable[SampleId] | None = None,
        in_memory: bool = True,
        limit: int | None = None,
    ) -> Samples:
        """Read a dataset into memory, once; or wrap it, to be read on demand, with `in_memory=False`.

        It is a map-style dataset, a `datasets.Dataset`, a `DataLoader`, of which the dataset is taken as its
        `collate_fn` leaves each row, or an iterable, which is read to its end or for `limit` rows. Rows are pairs
        (input, target), or have fields: `inputs` names those that the model gets (several are held as `types.Layout`
        says, and taken apart by `models.NamedInputs`), `label` the target. `item` is a function that makes a pair of
        any other row. `ids` are names, one a row, or the name of the field that holds them.

        A dataset with random transforms is not read into memory, and its content names no sample: pass
        `in_memory=False` together with `ids` to train on it; references and audits ask for the same inputs each time.
        Raises DataError for rows that make no such pairs, of different shapes, or another when they are read again, for
        a loader that draws rows, an iterable without an end or to be read on demand, and as `from_tensors` does.

        >>> rows = [{"pixels": [0.0, 1.0], "label": 1, "name": "a"}, {"pixels": [0.5, 0.0], "label": 0, "name": "b"}]
        >>> samples = Samples.from_dataset(rows, inputs="pixels", label="label", ids="name")
        >>> samples.ids.tolist(), samples.everything().y.tolist()
        (['a', 'b'], [1, 0])
        """
        rows = rows_of(dataset, Reading.of(inputs, label, item, limit))
        if not in_memory and rows.read:
            raise DataError(
                "expected a map-style dataset to read on demand, got an iterable, which is read once; leave out "
                "in_memory=False"
            )
        names = rows.column(ids) if isinstance(ids, str) else ids
        store = DatasetStore(rows)
        if not in_memory or len(store) == 0:
            samples = cls._of(store, names)
        else:
            x, y = (torch.cat(part) for part in zip(*((x, y) for _, x, y in _chunks(store)), strict=True))
            samples = cls._of(TensorStore(x, y), names)
        if in_memory or names is None:
            remedy = ", or pass in_memory=False with ids"
            _refuse_unsteady(store, samples.rows, what="a dataset that gives", remedy=remedy)
        return samples

    @classmethod
    def _of(cls, store: Store, ids: Iterable[SampleId] | None) -> Samples:
        if len(store) == 0:
            raise DataError("expected at least one sample, got none; check the folder, the filter or the arrays")
        hashes: list[SampleId] = []
        read, targets = list[np.ndarray](), list[Tensor]()
        for first, x, y in _chunks(store):
            _refuse_not_finite(x, first)
            _refuse_not_finite(y, first)
            if ids is None:
                hashes.extend(content_id(*pair) for pair in zip(x.cpu(), y.cpu(), strict=True))
            if not isinstance(store, TensorStore):  # which is not to be read again for what it has told
                read.append(input_hashes(x))
                targets.append(y.cpu())
        names = distinct(hashes) if ids is None else as_ids(ids, what="ids")
        if len(names) != len(store):
            raise DataError(f"expected one id per sample, got {len(names)} ids for {len(store)} samples; align them")
        samples = cls(store, names, torch.arange(len(store)))
        if read:
            samples.__dict__.update(inputs=np.concatenate(read), targets=torch.cat(targets))
        return samples

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Samples(n={len(self)}, sha256='{self.sha256[:12]}')"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input.

        >>> import torch
        >>> Samples.from_tensors(torch.zeros(2, 1, 8, 8), torch.zeros(2).long(), ids=["a", "b"]).shape
        (1, 8, 8)
        """
        return self.store.shape()

    @cached_property
    def input_bytes(self) -> int:
        """The size of one input in memory."""
        with undisturbed():
            x, _ = self.store.take(self.rows[:1])
        return x[:1].nbytes

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
                array, kind = as_array(part)
                digest.update(f"{kind}{array.shape[1:]}".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()

    @cached_property
    def inputs(self) -> UInt64[np.ndarray, " n"]:
        """The hash of each input, bit for bit and whatever its label: samples that share one are copies."""
        chunks = torch.arange(len(self)).split(CHUNK)
        parts = [input_hashes(self.take(places).x) for places in chunks]
        return np.concatenate(parts) if parts else np.array([], dtype=np.uint64)

    @cached_property
    def targets(self) -> Shaped[Tensor, " n ..."]:
        """The targets of all samples, in order, on the processor.

        >>> import torch
        >>> Samples.from_tensors(torch.zeros(2, 3), torch.tensor([1, 0]), ids=["a", "b"]).targets
        tensor([1, 0])
        """
        return torch.cat([self.take(places).y.cpu() for places in torch.arange(len(self)).split(CHUNK)])

    def copies_of(self, others: Samples) -> Ids:
        """Return the ids of these samples whose input is that of one of the others, bit for bit.

        >>> import torch
        >>> x = torch.tensor([[1.0], [2.0], [1.0]])
        >>> samples = Samples.from_tensors(x, torch.tensor([0, 1, 1]), ids=["a", "b", "c"])
        >>> samples.select(["b", "c"]).copies_of(samples.select(["a"])).tolist()
        ['c']
        """
        return self.ids[np.isin(self.inputs, others.inputs)]

    def check_steady(self, *, what: str) -> None:
        """Refuse samples that are read from a dataset and are others the second time; raises DataError.

        Some are read again, without seeding in between; random states are left as they were.
        """
        if not isinstance(self.store, TensorStore):
            _refuse_unsteady(self.store, self.rows, what=f"{what} whose dataset gives")

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
        chosen = Samples(self.store, self.ids[places.numpy()], self.rows[places])
        if "inputs" in self.__dict__:  # hashing reads everything: once is enough
            chosen.__dict__["inputs"] = self.inputs[places.numpy()]
        if "targets" in self.__dict__:
            chosen.__dict__["targets"] = self.targets[places]
        return chosen

    def to(self, device: torch.device) -> Samples:
        """Move what is held in memory to a device, and no other row of its store; what is read on demand goes by batch.

        Samples that are read through a transform, or joined, are moved too: the transform is then applied there.
        """
        store, rows = _moved(self.store, self.rows, device)
        if store is self.store:
            return self
        moved = Samples(store, self.ids, rows)
        moved.__dict__.update({name: self.__dict__[name] for name in ("inputs", "targets") if name in self.__dict__})
        return moved

    def transformed(self, transform: Callable[[Tensor], Tensor] | None) -> Samples:
        """Apply `transform` to every batch of inputs as it is read, on the device where it is held."""
        return self if transform is None else replace(self, store=TransformedStore(self.store, transform))

    def repeated(self, times: int) -> Samples:
        """Have every sample so many times; what is added has ids of its own, of which `original_id` tells the first.

        >>> import torch
        >>> Samples.from_tensors(torch.zeros(2, 1), torch.zeros(2), ids=["a", "b"]).repeated(2).ids.tolist()
        ['a', 'b', 'a\\x1f2', 'b\\x1f2']
        """
        again = [np.char.add(self.ids, f"{REPEAT}{number}") for number in range(2, times + 1)]
        return Samples(self.store, np.concatenate([self.ids, *again]), self.rows.repeat(times))

    def joined(self, *others: Samples) -> Samples:
        """Join several sets of samples, whose ids must differ; what is in memory is copied into one store."""
        parts = (self, *others)
        ids = as_ids(np.concatenate([part.ids for part in parts]), what="ids of the joined samples")
        if all(isinstance(part.store, TensorStore) for part in parts):
            batches = [part.everything() for part in parts]
            _refuse_other_shapes([batch.x for batch in batches])
            store = TensorStore(torch.cat([batch.x for batch in batches]), torch.cat([batch.y for batch in batches]))
            return Samples(store, ids, torch.arange(len(ids)))
        stores, rows, start = tuple(part.store for part in parts), [], 0
        for part in parts:
            rows.append(part.rows + start)
            start += len(part.store)
        return Samples(JoinedStore(stores), ids, torch.cat(rows))


def original_id(name: SampleId) -> SampleId:
    """Return the id that a sample had before it was `repeated`.

    >>> original_id("a\\x1f2"), original_id("a")
    ('a', 'a')
    """
    return str(name).partition(REPEAT)[0]


def _picked(values: Shaped[Tensor, " n ..."], rows: Int[Tensor, " k"]) -> Shaped[Tensor, " k ..."]:
    """These rows of a tensor, in the memory order that indexing gives them."""
    # The same bits as by indexing, at a fifth of its time; only of a contiguous tensor also in the same memory order.
    return values.index_select(0, rows) if values.is_contiguous() else values[rows]


def _shape_of(store: Store) -> tuple[int, ...]:
    """The shape of the first input; random states are left as they were."""
    with undisturbed():
        return tuple(store.take(torch.zeros(1, dtype=torch.long))[0].shape[1:])


def _moved(store: Store, rows: Int[Tensor, " n"], device: torch.device) -> tuple[Store, Int[Tensor, " n"]]:
    """A store whose rows in memory, of those asked for, are on a device, and where these stand in it.

    The store itself comes back where nothing has to move.
    """
    if isinstance(store, TensorStore):
        if _same(store.x.device, device):
            return store, rows
        x, y = store.take(rows)
        return TensorStore(x.to(device), y.to(device)), torch.arange(len(rows))
    if isinstance(store, TransformedStore):
        inner, rows = _moved(store.store, rows, device)
        return (store if inner is store.store else replace(store, store=inner)), rows
    if isinstance(store, JoinedStore):
        stores, places, start = list[Store](), rows.clone(), 0
        for part, positions, asked in store.parts(rows):
            moved, numbers = _moved(part, asked, device)
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


def _chunks(store: Store) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Read everything, some rows at a time, with the number of the first; all must be of one shape."""
    shape: tuple[int, ...] | None = None
    for rows in torch.arange(len(store)).split(CHUNK):
        x, y = store.take(rows)
        shape = tuple(x.shape[1:]) if shape is None else shape
        if x.shape[1:] != shape:
            raise _other_shape(tuple(x.shape[1:]), shape, int(rows[0]))
        yield int(rows[0]), x, y


def _refuse_unsteady(store: Store, rows: Int[Tensor, " n"], *, what: str, remedy: str = "") -> None:
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


def _refuse_other_shapes(parts: list[Tensor]) -> None:
    shapes = list(dict.fromkeys(tuple(part.shape[1:]) for part in parts))
    if len(shapes) > 1:
        raise DataError(f"expected samples of one shape, got {shapes[0]} and {shapes[1]}; resize them")


def _plain_tensor(values: Any, *, what: str) -> Tensor:
    """The values without their history; raises DataError for anything but a dense tensor of real numbers in rows."""
    if not isinstance(values, Tensor):
        kind = type(values).__name__
        remedy = "torch.from_numpy(…)" if isinstance(values, np.ndarray) else "torch.tensor(…)"
        raise DataError(f"expected {what} as a tensor, got {kind}; make one with `{remedy}`")
    if values.layout != torch.strided or values.is_quantized or values.is_complex():
        got = str(values.dtype if values.layout == torch.strided else values.layout).removeprefix("torch.")
        raise DataError(f"expected {what} as a dense tensor of real numbers, got a {got} one; convert it")
    if values.ndim == 0:
        raise DataError(f"expected {what} in rows, one a sample, got a single number; give one for each sample")
    return values.detach()


def _refuse_not_finite(values: Tensor, first: int) -> None:
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        bad = (~torch.isfinite(values)).flatten(1).any(1) if values.ndim > 1 else ~torch.isfinite(values)
        row = first + int(bad.nonzero()[0])
        raise DataError(f"expected finite values, got NaN or Inf in sample {row}; clean the data or drop the sample")
