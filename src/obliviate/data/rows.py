"""Rows of datasets as they come: pairs or named fields, of map-style datasets, of loaders, and of what is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    default_convert,
)

from obliviate._util.randomness import undisturbed
from obliviate.errors import DataError
from obliviate.types import Layout, SampleId, as_tensor, widened

Item: TypeAlias = Callable[[Any], Any]
"""Makes a pair (input, target) of what a dataset holds at a place."""

MOST: Final = 1_000_000  # rows that are read of something endless before it is refused


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a dataset is read: what of a row is the input, what the target, and how many rows at most.

    `inputs` and `label` are names of fields, or `item` is a function that makes a pair of a row; neither for rows that
    are pairs. `limit` bounds what is read of an iterable.
    """

    inputs: tuple[str, ...] = ()
    label: str | None = None
    item: Item | None = None
    limit: int | None = None

    @classmethod
    def of(cls, inputs: str | Sequence[str] | None, label: str | None, item: Item | None, limit: int | None) -> Reading:
        """Take what a user says; raises DataError for half of it, or for two ways at once."""
        names = (inputs,) if isinstance(inputs, str) else tuple(inputs or ())
        if item is not None and (names or label is not None):
            raise DataError("expected item= or the names of fields, got both; leave one out")
        if bool(names) != (label is not None):
            named, missing = ("inputs", "label") if names else ("label", "inputs")
            raise DataError(f"expected inputs= and label= together, got {named}= alone; name {missing}= too")
        if limit is not None and limit < 1:
            raise DataError(f"expected a limit of at least 1 sample, got {limit}; leave it out to read everything")
        return cls(inputs=names, label=label, item=item, limit=limit)

    def pairs(self, first: Any) -> Item:
        """What makes pairs of rows that are like the first one; raises DataError for fields that nobody named."""
        if self.item is not None:
            return self.item
        if self.label is not None:
            if not isinstance(first, Mapping):
                raise DataError(
                    f"expected rows with named fields, got {type(first).__name__}; leave out inputs= and label=, or "
                    "pass item=, a function that makes a pair (input, target) of a row"
                )
            return Fields(Layout.of(first, self.inputs), self.label)
        if isinstance(first, Mapping):
            raise DataError(
                f"expected pairs (input, target), got rows with the fields {', '.join(map(repr, first))}; name "
                'those to read, as in inputs=("input_ids", "attention_mask"), label="label"'
            )
        return same


def same(row: Any) -> Any:
    """What a dataset of pairs holds is a pair."""
    return row


@dataclass(frozen=True)
class Fields:
    """Makes a pair of a row with named fields."""

    layout: Layout
    label: str

    def __call__(self, row: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        return self.layout.pack(row), as_tensor(row, self.label)


@dataclass(frozen=True)
class Collated:
    """Makes of one row what a loader's own `collate_fn` makes of a batch of that row alone."""

    collate: Callable[[list[Any]], Any]

    def __call__(self, row: Any) -> Any:
        return next(_rows_of_batch(self.collate([row])))


@dataclass(frozen=True, eq=False)
class Rows(Dataset[Any]):
    """What a dataset holds, at these places of it or at all, as pairs (input, target)."""

    source: Any
    item: Item
    places: tuple[int, ...] | None = None
    prepare: Item = same
    read: bool = False
    """Whether these are what was read of an iterable."""
    workers: int = 0
    """Processes that read these the first time: those of the loader that they came from."""

    def __len__(self) -> int:
        return len(self.source) if self.places is None else len(self.places)

    def __getitem__(self, place: int) -> Any:
        return _widened(self.item(self.row(place)))

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """The pairs at several places, read together where the dataset can do so, as those of Arrow tables can."""
        together = getattr(self.source, "__getitems__", None)
        if together is None:
            return [self[place] for place in places]
        numbers = places if self.places is None else [self.places[place] for place in places]
        return [_widened(self.item(self.prepare(row))) for row in together(list(numbers))]

    def labels(self) -> Tensor | None:
        """The target of each row, from a column of labels, or a dataset's own list: no input is read for it.

        None where there is no such list, and where it says of some rows other than these do themselves.
        """
        if not len(self) or self.prepare is not same:
            return None
        name = self.item.label if isinstance(self.item, Fields) else None
        if name is None and self.item is not same:
            return None
        listed = _listed(self.source, name)
        if listed is None:
            return None
        if self.places is not None:
            listed = listed[list(self.places)]
        some = sorted({*range(min(4, len(self))), len(self) // 2, len(self) - 1})
        with undisturbed():
            read = default_collate([self[place][1] for place in some])
        if not isinstance(read, Tensor) or len(listed) != len(self) or listed.shape[1:] != read.shape[1:]:
            return None
        labels = torch.from_numpy(np.ascontiguousarray(listed)).to(read.dtype)
        return labels if labels[some].equal(read) else None

    def row(self, place: int) -> Any:
        """What the dataset itself holds at a place."""
        return self.prepare(self.source[place if self.places is None else self.places[place]])

    def column(self, name: str) -> list[SampleId]:
        """Read the ids that stand in a field; raises DataError for a field that is not there."""
        if self.places is None and name in (getattr(self.source, "column_names", None) or ()):
            return list(map(str, self.source[name]))
        return [_name_in(self.row(place), name) for place in range(len(self))]


def _widened(pair: Any) -> Any:
    if isinstance(pair, tuple) and any(isinstance(part, Tensor) and part.dtype == torch.bfloat16 for part in pair):
        return tuple(map(widened, pair))
    return pair


LISTS: Final = ("targets", "labels")  # what datasets of torchvision and others call the targets of all rows


def _listed(source: Any, name: str | None) -> np.ndarray | None:
    """The column of this name of an Arrow table, or without one the targets that a dataset of pairs lists; or None."""
    if name is not None:
        # A transform of the table's own may make other rows of it.
        if not hasattr(source, "select_columns") or source.format["type"] == "custom":
            return None
        return _numbers(source.select_columns([name]).with_format("numpy")[:][name])
    if isinstance(source, Subset):
        whole = _listed(source.dataset, None)
        return None if whole is None else whole[list(source.indices)]
    if isinstance(source, TensorDataset) and len(source.tensors) == 2:
        return _numbers(source.tensors[1].cpu())
    lists = (getattr(source, attribute, None) for attribute in LISTS)
    return next((numbers for values in lists if (numbers := _numbers(values)) is not None), None)


def _numbers(values: Any) -> np.ndarray | None:
    """A list of numbers as an array; None for anything else."""
    if isinstance(values, list | tuple):
        values = np.array(values) if all(isinstance(value, int | float) for value in values) else None
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy() if values.dtype != torch.bfloat16 else None
    if isinstance(values, np.ndarray) and values.ndim and values.dtype.kind in "buif":
        return values
    return None


def rows_of(source: Any, reading: Reading) -> Rows:
    """Find the rows of a map-style dataset, of a loader, or of an iterable, which is read here, once.

    Of a loader these are the rows of its dataset, as its `collate_fn` leaves each, or what it yields where the dataset
    is iterable. Raises DataError for a loader that draws rows, for an iterable without an end, and for a dictionary of
    datasets.
    """
    if isinstance(source, Mapping):
        names = ", ".join(map(repr, source))
        raise DataError(f"expected a dataset, got a dictionary of {names}; take one, as in `datasets['train']`")
    if isinstance(source, DataLoader):
        if not _is_iterable(source.dataset):
            return _of_loader(source, reading)
        with undisturbed():  # a loader draws a seed for its workers
            batches = iter(source) if source.batch_size is None else _unbatched(source)
            return _read(batches, reading)
    if _is_iterable(source):
        return _read(source, reading)
    if not hasattr(source, "__getitem__") or not hasattr(source, "__len__"):
        raise DataError(
            f"expected a dataset, a loader or an iterable of rows, got {type(source).__name__}; give tensors to "
            "`Samples.from_tensors`"
        )
    return _as_pairs(Rows(source, same), reading)


def _as_pairs(rows: Rows, reading: Reading) -> Rows:
    if len(rows) == 0:
        return rows
    with undisturbed():
        first = rows.row(0)
    return replace(rows, item=reading.pairs(first))


def _of_loader(loader: DataLoader[Any], reading: Reading) -> Rows:
    sampler, places = loader.sampler, None
    if isinstance(sampler, SubsetRandomSampler):
        places = tuple(sorted(map(int, sampler.indices)))
    elif not (
        isinstance(sampler, SequentialSampler) or (isinstance(sampler, RandomSampler) and not sampler.replacement)
    ):
        raise DataError(
            f"expected a loader that gives every row once, got one with {type(sampler).__name__}; give the dataset of "
            "the rows that the model was trained on, as in `torch.utils.data.Subset(dataset, rows)`"
        )
    plain = loader.collate_fn in (default_collate, default_convert)
    prepare = same if plain else Collated(loader.collate_fn)
    rows = Rows(loader.dataset, same, places, prepare, workers=loader.num_workers)
    return _as_pairs(rows, reading)


def _read(rows: Iterable[Any], reading: Reading) -> Rows:
    most = reading.limit or MOST
    held = list(islice(rows, most + (reading.limit is None)))
    if len(held) > most:
        raise DataError(
            f"expected an iterable of at most {MOST:,} rows, got more; say how many to read with limit=, or give a "
            "map-style dataset, which can be read on demand"
        )
    return _as_pairs(Rows(held, same, read=True), reading)


def _unbatched(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        yield from _rows_of_batch(batch)


def _rows_of_batch(batch: Any) -> Iterator[Any]:
    """The rows of a batch: of tensors in a pair, or by the names of fields."""
    if isinstance(batch, Mapping):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
    elif isinstance(batch, tuple | list):
        yield from zip(*batch, strict=True)
    else:
        raise DataError(
            f"expected batches of pairs or of named fields, got {type(batch).__name__}; give the dataset, with item=, "
            "a function that makes a pair (input, target) of a row"
        )


def _is_iterable(source: Any) -> bool:
    return isinstance(source, IterableDataset) or (hasattr(source, "__iter__") and not hasattr(source, "__getitem__"))


def _name_in(row: Any, name: str) -> SampleId:
    if not isinstance(row, Mapping):
        raise DataError(
            f"expected rows with named fields for ids={name!r}, got {type(row).__name__}; pass the ids themselves"
        )
    if name not in row:
        raise DataError(
            f"expected a field {name!r} of ids, got a row of {', '.join(map(repr, row))}; name one of these"
        )
    value = row[name]
    return str(value.item() if isinstance(value, torch.Tensor) else value)
