"""A set of samples with stable ids, held in memory or read from a dataset on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8, UInt64
from torch import Tensor

from obliviate._util.randomness import undisturbed
from obliviate.data.ahead import ahead
from obliviate.data.arrays import ArrayStore, check_arrays, floats
from obliviate.data.content import content_hashes, content_ids, input_hashes
from obliviate.data.ids import Places, as_ids, distinct, shown
from obliviate.data.rows import Item, Reading, rows_of
from obliviate.data.stores import (
    CHUNK,
    DatasetStore,
    JoinedStore,
    Store,
    TensorStore,
    TransformedStore,
    chunks,
    moved_store,
    refuse_other_shapes,
    refuse_unsteady,
)
from obliviate.errors import DataError
from obliviate.types import Batch, Ids, SampleId, widened

REPEAT: Final = "\x1f"  # between an id and the number of its repetition
FACTS: Final = ("inputs", "contents", "targets")  # that reading everything tells, and selections keep


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
        return cls.of_store(TensorStore(widened(x), widened(y)), ids)

    @classmethod
    def from_arrays(
        cls,
        x: Shaped[np.ndarray, " n ..."],
        y: Shaped[np.ndarray, " n ..."],
        *,
        ids: Iterable[SampleId] | None = None,
    ) -> Samples:
        """Take arrays as they are; those that are memory-mapped stay on disk and are read batch by batch.

        Inputs that are bytes are read as pixels and scaled to [0, 1], other whole numbers as int64, floats as float32.
        Targets are held in memory. Without `ids`, a sample's id is the hash of its content, for which everything is
        read once, as it is to look for NaN and Inf among floats.

        Raises DataError for what are no arrays of real numbers, for different lengths, NaN or Inf, or duplicate ids.

        >>> import tempfile
        >>> path = f"{tempfile.mkdtemp()}/x.npy"
        >>> np.save(path, np.full((3, 1, 2, 2), 255, dtype=np.uint8))
        >>> samples = Samples.from_arrays(np.load(path, mmap_mode="r"), np.array([0, 1, 1]), ids=["a", "b", "c"])
        >>> samples.select(["c"]).everything().x.max()
        tensor(1.)
        """
        check_arrays(x, y)
        return cls.of_store(
            ArrayStore(x, floats(y) if y.dtype.kind == "f" else torch.from_numpy(y.astype(np.int64)), floats), ids
        )

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
        checked: bool = True,
    ) -> Samples:
        """Read a dataset into memory, once; or wrap it, to be read on demand, with `in_memory=False`.

        It is a map-style dataset, a `datasets.Dataset`, a `DataLoader`, of which the dataset is taken as its
        `collate_fn` leaves each row, or an iterable, which is read to its end or for `limit` rows. Rows are pairs
        (input, target), or have fields: `inputs` names those that the model gets (several are held as `types.Layout`
        says, and taken apart by `models.NamedInputs`), `label` the target. `item` is a function that makes a pair of
        any other row. `ids` are names, one a row, or the name of the field that holds them.

        A dataset with random transforms is not read into memory, and its content names no sample: pass
        `in_memory=False` together with `ids` to train on it; references and audits ask for the same inputs each time.

        Everything is read here once, by the workers of a loader if it has any, for what is asked of it later: hashes,
        targets, and whether all numbers are finite. With `checked=False`, `in_memory=False` and `ids` it is not: each
        of these is read when it is asked for, targets from the label column, or the dataset's `targets`, where it has
        such, and NaN and Inf are refused in the batch in which they come.

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
        if not checked and (in_memory or ids is None):
            raise DataError(
                "expected checked=False beside in_memory=False and ids, got it without; everything is read for memory, "
                "and for ids of the content"
            )
        names = rows.column(ids) if isinstance(ids, str) else ids
        store = DatasetStore(rows, unchecked=not checked)
        if not checked:
            samples = cls._named(store, as_ids(names or (), what="ids"), torch.arange(len(store)))
            store.take(torch.zeros(1, dtype=torch.long))  # whose refusals are better heard now
        elif not in_memory or len(store) == 0:
            samples = cls.of_store(store, names, workers=rows.workers)
        else:
            read = chunks(store, torch.arange(len(store)), ahead_of(store, rows.workers))
            x, y = (torch.cat(part) for part in zip(*((x, y) for _, x, y in read), strict=True))
            samples = cls.of_store(TensorStore(x, y), names)
        if in_memory or names is None:
            remedy = ", or pass in_memory=False with ids"
            refuse_unsteady(store, samples.rows, what="a dataset that gives", remedy=remedy)
        return samples

    @classmethod
    def of_store(
        cls,
        store: Store,
        ids: Iterable[SampleId] | None,
        *,
        rows: Int[Tensor, " n"] | None = None,
        workers: int = 0,
    ) -> Samples:
        """Name the rows of a store, or these, after a look at them: what is read from a dataset is read only here.

        Raises DataError as `from_tensors` does.
        """
        rows, facts = torch.arange(len(store)) if rows is None else rows, dict[str, Any]()
        if len(rows) == 0:
            raise DataError("expected at least one sample, got none; check the folder, the filter or the arrays")
        if isinstance(store, DatasetStore):
            facts = read_facts(store, rows, workers=workers)
        elif ids is None:
            facts["contents"] = np.concatenate([content_hashes(x, y) for _, x, y in chunks(store, rows)])
        elif _may_hold_nan(store):
            for _ in chunks(store, rows):
                pass
        names = distinct(content_ids(facts["contents"])) if ids is None else as_ids(ids, what="ids")
        samples = cls._named(store, names, rows)
        samples.__dict__.update(facts)
        return samples

    @classmethod
    def _named(cls, store: Store, names: Ids, rows: Tensor) -> Samples:
        if len(names) != len(rows):
            raise DataError(f"expected one id per sample, got {len(names)} ids for {len(rows)} samples; align them")
        return cls(store, names, rows)

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
    def _places(self) -> Places:
        return Places(self.ids)

    @cached_property
    def sha256(self) -> str:
        """The hash of ids and content, in order."""
        digest = hashlib.sha256("\n".join(self.ids.tolist()).encode())
        digest.update(self.contents.tobytes())
        return digest.hexdigest()

    @cached_property
    def contents(self) -> UInt8[np.ndarray, "n 16"]:
        """The hash of each input with its target (`content.content_hashes`)."""
        return self._told("contents", lambda batch: content_hashes(batch.x, batch.y))

    @cached_property
    def inputs(self) -> UInt64[np.ndarray, " n"]:
        """The hash of each input, bit for bit and whatever its label: samples that share one are copies."""
        return self._told("inputs", lambda batch: input_hashes(batch.x))

    @cached_property
    def targets(self) -> Shaped[Tensor, " n ..."]:
        """The targets of all samples, in order, on the processor.

        >>> import torch
        >>> Samples.from_tensors(torch.zeros(2, 3), torch.tensor([1, 0]), ids=["a", "b"]).targets
        tensor([1, 0])
        """
        store = self.store
        if isinstance(store, TensorStore | ArrayStore):
            return store.y[self.rows.to(store.y.device)].cpu()
        if isinstance(store, DatasetStore) and (labels := store.labels()) is not None:
            return labels[self.rows]
        return self._told("targets", lambda batch: batch.y.cpu())

    def _told(self, fact: str, tell: Callable[[Batch], Any]) -> Any:
        """One of `FACTS`, from reading everything; a dataset that is read on demand tells them all at once."""
        if isinstance(self.store, DatasetStore):
            facts = read_facts(self.store, self.rows)
            value = facts.pop(fact)
            self.__dict__.update(facts)
            return value
        return _joined([tell(self.take(places)) for places in torch.arange(len(self)).split(CHUNK)])

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
            refuse_unsteady(self.store, self.rows, what=f"{what} whose dataset gives")

    def places(self, ids: Iterable[SampleId] | Ids) -> Int[Tensor, " n"]:
        """Find where these ids stand; raises DataError for unknown or duplicate ids."""
        names = as_ids(ids, what="ids")
        places = self._places.of(names)
        if len(unknown := names[places < 0]):
            raise DataError(
                f"expected ids of these {len(self)} samples, got {shown(unknown)}; "
                "list the known ones with `samples.ids`"
            )
        return torch.from_numpy(places)

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
        for name, fact in facts_of(self).items():  # reading everything once is enough
            chosen.__dict__[name] = fact[places] if isinstance(fact, Tensor) else fact[places.numpy()]
        return chosen

    def to(self, device: torch.device) -> Samples:
        """Move what is held in memory to a device, and no other row of its store; what is read on demand goes by batch.

        Samples that are read through a transform, or joined, are moved too: the transform is then applied there.
        """
        store, rows = moved_store(self.store, self.rows, device)
        if store is self.store:
            return self
        moved = Samples(store, self.ids, rows)
        moved.__dict__.update(facts_of(self))
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
            refuse_other_shapes([batch.x for batch in batches])
            store = TensorStore(torch.cat([batch.x for batch in batches]), torch.cat([batch.y for batch in batches]))
            whole = Samples(store, ids, torch.arange(len(ids)))
        else:
            stores, rows, start = tuple(part.store for part in parts), [], 0
            for part in parts:
                rows.append(part.rows + start)
                start += len(part.store)
            whole = Samples(JoinedStore(stores), ids, torch.cat(rows))
        facts = [facts_of(part) for part in parts]
        for name in FACTS:
            if all(name in known for known in facts):
                whole.__dict__[name] = _joined([known[name] for known in facts])
        return whole


def _joined(parts: Sequence[Any]) -> Any:
    return torch.cat(list(parts)) if isinstance(parts[0], Tensor) else np.concatenate(parts)


def facts_of(samples: Samples) -> dict[str, Any]:
    """What reading these samples has told already, of `FACTS`."""
    return {name: samples.__dict__[name] for name in FACTS if name in samples.__dict__}


def read_facts(store: DatasetStore, rows: Int[Tensor, " n"], *, workers: int = 0) -> dict[str, Any]:
    """Read rows once, by so many processes, and tell all `FACTS` of them; raises DataError as `stores.chunks` does."""
    inputs, contents, targets = list[np.ndarray](), list[np.ndarray](), list[Tensor]()
    for _, x, y in chunks(store, rows, ahead_of(store, workers, rows)):
        inputs.append(input_hashes(x))
        contents.append(content_hashes(x, y))
        targets.append(y.cpu())
    return dict(zip(FACTS, (np.concatenate(inputs), np.concatenate(contents), torch.cat(targets)), strict=True))


def original_id(name: SampleId) -> SampleId:
    """Return the id that a sample had before it was `repeated`.

    >>> original_id("a\\x1f2"), original_id("a")
    ('a', 'a')
    """
    return str(name).partition(REPEAT)[0]


def ahead_of(
    store: DatasetStore, workers: int, rows: Int[Tensor, " n"] | None = None
) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """What reads the chunks of these rows, or of all, in other processes; None where there are to be none."""
    if not workers:
        return None
    rows = torch.arange(len(store)) if rows is None else rows
    with undisturbed():
        return ahead(store, list(rows.split(CHUNK)), workers, seed=0).take


def _may_hold_nan(store: Store) -> bool:
    if isinstance(store, TensorStore):
        return store.x.is_floating_point() or store.y.is_floating_point()
    return not isinstance(store, ArrayStore) or store.x.dtype.kind == "f" or store.y.is_floating_point()


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
