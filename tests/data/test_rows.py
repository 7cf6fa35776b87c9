"""Whatever a dataset's rows look like, they become the samples that their tensors would."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from obliviate.data.rows import MOST
from obliviate.data.samples import Samples
from obliviate.errors import DataError

X, Y = torch.arange(12).reshape(6, 2), torch.tensor([0, 1, 0, 1, 1, 0])
FIELDS = [
    {"tokens": [int(a), int(b)], "mask": [1, int(a > 3)], "label": int(y), "key": f"row-{place}"}
    for place, ((a, b), y) in enumerate(zip(X, Y, strict=True))
]


def table_of(rows: list[Any]) -> Any:
    """An Arrow table of Hugging Face's `datasets`, which only tests that use it wait for."""
    from datasets import Dataset as Table

    return Table.from_list(rows)


class Stream(IterableDataset[Any]):
    """Rows that can be read once."""

    def __init__(self, rows: Any = FIELDS) -> None:
        self.rows = rows
        self.readings = 0

    def __iter__(self) -> Iterator[Any]:
        self.readings += 1
        assert self.readings == 1, "read once more"
        return iter(self.rows)


def pairs_of(samples: Samples) -> set[tuple[tuple[int, ...], int]]:
    batch = samples.everything()
    return {(tuple(x.flatten().tolist()), int(y)) for x, y in zip(batch.x, batch.y, strict=True)}


PAIRS = {(tuple(x.tolist()), int(y)) for x, y in zip(X, Y, strict=True)}
PLAIN = TensorDataset(X, Y)
TUPLES = [PLAIN[place] for place in range(len(PLAIN))]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: PLAIN, id="dataset"),
        pytest.param(lambda: TUPLES, id="list"),
        pytest.param(lambda: iter(TUPLES), id="iterator"),
        pytest.param(lambda: Stream(TUPLES), id="iterable dataset"),
        pytest.param(lambda: DataLoader(PLAIN, batch_size=4, shuffle=True), id="loader"),
        pytest.param(lambda: DataLoader(PLAIN, batch_size=4, drop_last=True), id="loader without its last batch"),
        pytest.param(lambda: DataLoader(Stream(TUPLES), batch_size=4), id="loader of an iterable"),
        pytest.param(lambda: DataLoader(Stream(TUPLES), batch_size=None), id="loader of an iterable, unbatched"),
        pytest.param(lambda: DataLoader(PLAIN, sampler=SubsetRandomSampler(range(6))), id="loader with a sampler"),
    ],
)
def test_pairs_come_out_of_whatever_holds_them(source: Callable[[], Any]) -> None:
    before = torch.get_rng_state()
    samples = Samples.from_dataset(source())
    assert pairs_of(samples) == PAIRS
    assert set(samples.ids) == set(Samples.from_tensors(X, Y).ids)  # the ids are those of the content, in any order
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: FIELDS, id="list"),
        pytest.param(Stream, id="iterable dataset"),
        pytest.param(lambda: DataLoader(FIELDS, batch_size=4), id="loader"),  # pyright: ignore[reportArgumentType]
        pytest.param(
            lambda: DataLoader(Stream([{**row} for row in NUMBERS]), batch_size=4), id="loader of an iterable"
        ),
        pytest.param(lambda: table_of(FIELDS), id="Hugging Face"),
        pytest.param(lambda: table_of(FIELDS).with_format("torch"), id="Hugging Face, tensors"),
        pytest.param(lambda: table_of(FIELDS).to_iterable_dataset(), id="Hugging Face, a stream"),
    ],
)
def test_named_fields_are_read_from_whatever_holds_them(source: Callable[[], Any]) -> None:
    samples = Samples.from_dataset(source(), inputs="tokens", label="label")
    assert pairs_of(samples) == PAIRS


NUMBERS = [{key: torch.as_tensor(value) for key, value in row.items() if key != "key"} for row in FIELDS]


def test_ids_stand_in_a_field() -> None:
    names = [f"row-{place}" for place in range(6)]
    for source in (FIELDS, Stream(), table_of(FIELDS)):
        assert Samples.from_dataset(source, inputs="tokens", label="label", ids="key").ids.tolist() == names
    part = Subset(table_of(FIELDS), [4, 1])  # pyright: ignore[reportArgumentType]
    assert Samples.from_dataset(part, inputs="tokens", label="label", ids="key").ids.tolist() == ["row-4", "row-1"]
    subset = DataLoader(FIELDS, sampler=SubsetRandomSampler([4, 1]))  # pyright: ignore[reportArgumentType]
    assert Samples.from_dataset(subset, inputs="tokens", label="label", ids="key").ids.tolist() == ["row-1", "row-4"]


def test_several_inputs_of_one_shape_are_stacked_in_the_order_of_their_names() -> None:
    samples = Samples.from_dataset(FIELDS, inputs=["tokens", "mask"], label="label")
    batch = samples.everything()
    assert batch.x.dtype == torch.int64
    assert batch.x[1].tolist() == [[2, 3], [1, 0]]
    assert batch.x[5].tolist() == [[10, 11], [1, 1]]


def test_rows_are_read_on_demand_from_fields_as_from_memory() -> None:
    options: Any = {"inputs": ["tokens", "mask"], "label": "label", "ids": "key"}
    lazy = Samples.from_dataset(table_of(FIELDS), in_memory=False, **options)
    assert lazy.sha256 == Samples.from_dataset(FIELDS, **options).sha256


def test_a_function_makes_pairs_of_any_row() -> None:
    samples = Samples.from_dataset(FIELDS, item=lambda row: (torch.tensor(row["tokens"]), row["label"]))
    assert pairs_of(samples) == PAIRS


def test_a_collate_function_of_ones_own_is_asked_row_by_row() -> None:
    def filled(rows: list[Any]) -> tuple[Tensor, Tensor]:
        x = torch.zeros(len(rows), 4, dtype=torch.int64)
        for place, (tokens, _) in enumerate(rows):
            x[place, : len(tokens)] = tokens
        return x, torch.stack([label for _, label in rows])

    loader = DataLoader(PLAIN, batch_size=3, collate_fn=filled)
    batch = Samples.from_dataset(loader).everything()
    assert batch.x.tolist() == [[*row, 0, 0] for row in X.tolist()]
    assert batch.y.tolist() == Y.tolist()


@pytest.mark.parametrize("in_memory", [True, False])
def test_bfloat16_is_held_as_the_float32_that_it_is_part_of(in_memory: bool) -> None:
    x = torch.tensor([[0.1], [0.7]], dtype=torch.bfloat16)
    from_pairs = Samples.from_dataset(TensorDataset(x, Y[:2]), in_memory=in_memory)
    for samples in (from_pairs, Samples.from_tensors(x, Y[:2])):
        assert samples.everything().x.dtype == torch.float32
        assert torch.equal(samples.everything().x, x.float())
        assert len(samples.sha256) == 64


def test_an_iterable_is_read_for_as_many_rows_as_are_asked_for() -> None:
    endless = ((torch.tensor([float(number)]), number % 2) for number in count())
    assert len(Samples.from_dataset(endless, limit=5)) == 5


def test_an_iterable_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST == 1_000_000
    monkeypatch.setattr("obliviate.data.rows.MOST", 10)
    with pytest.raises(DataError, match=r"^expected an iterable of at most 10 rows, got more; say how many .* limit="):
        Samples.from_dataset((torch.zeros(1), 0) for _ in count())


class Plain(Dataset[Any]):
    pass


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (FIELDS, {}, r"^expected pairs \(input, target\), got rows with the fields 'tokens', 'mask', .*; name those"),
        (FIELDS, {"inputs": "tokens"}, r"^expected inputs= and label= together, got inputs= alone; name label= too"),
        (FIELDS, {"label": "label"}, r"^expected inputs= and label= together, got label= alone; name inputs= too"),
        (
            FIELDS,
            {"inputs": "x", "label": "label"},
            r"^expected a field 'x', got a row of 'tokens', 'mask', .*; name one",
        ),
        (
            FIELDS,
            {"inputs": "key", "label": "label"},
            r"^expected numbers in the field 'key', got the text 'row-0'; make",
        ),
        (FIELDS, {"inputs": "tokens", "label": "key"}, r"^expected numbers in the field 'key', .*class_encode_column"),
        (
            FIELDS,
            {"inputs": "tokens", "label": "label", "item": tuple},
            r"^expected item= or the names of fields, got both",
        ),
        (
            FIELDS,
            {"inputs": "tokens", "label": "label", "ids": "name"},
            r"^expected a field 'name' of ids, got a row of",
        ),
        (
            PLAIN,
            {"inputs": "tokens", "label": "label"},
            r"^expected rows with named fields, got tuple; leave out inputs=",
        ),
        (PLAIN, {"ids": "key"}, r"^expected rows with named fields for ids='key', got tuple; pass the ids themselves"),
        (
            {"train": PLAIN},
            {},
            r"^expected a dataset, got a dictionary of 'train'; take one, as in `datasets\['train'\]`",
        ),
        (Plain(), {}, r"^expected a dataset, a loader or an iterable of rows, got Plain; give tensors to"),
        (iter([]), {}, r"^expected at least one sample, got none"),
        (iter([]), {"limit": 0}, r"^expected a limit of at least 1 sample, got 0"),
        (iter([(X[0], 1)]), {"in_memory": False}, r"^expected a map-style dataset to read on demand, got an iterable"),
        (
            DataLoader(PLAIN, sampler=WeightedRandomSampler([1.0] * 6, 6)),
            {},
            r"^expected a loader that gives every row once, got one with WeightedRandomSampler; give the dataset",
        ),
        (
            [{"x": [1.0], "y": 0}, {"x": [1.0, 2.0], "y": 0}],
            {"inputs": "x", "label": "y"},
            r"^expected samples of one shape, got \(2,\) in sample 1 and \(1,\) before it; resize them",
        ),
    ],
)
def test_what_makes_no_pairs_is_refused(source: Any, options: Any, message: str, unchecked: None) -> None:
    with pytest.raises(DataError, match=message):
        Samples.from_dataset(source, **options)


def test_a_dataset_dictionary_of_hugging_face_is_refused_by_the_names_of_its_parts() -> None:
    from datasets import DatasetDict

    parts = DatasetDict({"train": table_of(FIELDS)})
    with pytest.raises(DataError, match=r"got a dictionary of 'train'; take one"):
        Samples.from_dataset(parts, inputs="tokens", label="label")


def test_random_transforms_are_found_through_fields_too() -> None:
    def noisy(rows: dict[str, Any]) -> dict[str, Any]:
        return rows | {"tokens": [[value + np.random.rand() for value in row] for row in rows["tokens"]]}

    dataset = table_of(FIELDS).with_transform(noisy)
    with pytest.raises(DataError, match="expected a dataset that gives the same item twice"):
        Samples.from_dataset(dataset, inputs="tokens", label="label")


def test_labels_of_an_arrow_table_are_read_without_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []
    of_table = type(table_of(FIELDS))
    formatted = of_table._getitem

    def watched(self: Any, key: Any, **options: Any) -> Any:
        read.append(self.column_names)
        return formatted(self, key, **options)

    rows = [FIELDS[place % 6] | {"key": f"row-{place}"} for place in range(100)]
    options: Any = {"inputs": ["tokens", "mask"], "label": "label", "ids": "key", "in_memory": False, "checked": False}
    for table in (table_of(rows), table_of(rows).with_format("torch")):
        samples = Samples.from_dataset(table, **options)
        monkeypatch.setattr(of_table, "_getitem", watched)
        assert samples.targets.tolist() == [row["label"] for row in rows]
        assert samples.targets.dtype == torch.int64
        monkeypatch.undo()
        assert ["label"] in read
        assert sum(names != ["label"] for names in read) <= 6  # rows that tell whether the column is theirs
        read.clear()


def test_a_column_that_a_transform_makes_other_labels_of_is_not_read_for_them() -> None:
    def other(rows: Any) -> Any:
        return rows | {"label": [1 - label for label in rows["label"]]}

    table = table_of(FIELDS).with_transform(other)
    samples = Samples.from_dataset(
        table, inputs="tokens", label="label", ids=[row["key"] for row in FIELDS], in_memory=False, checked=False
    )
    assert samples.targets.tolist() == [1 - row["label"] for row in FIELDS]


def test_rows_of_a_batch_are_read_from_an_arrow_table_together(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(FIELDS)
    samples = Samples.from_dataset(table, inputs="tokens", label="label", ids="key", in_memory=False)
    reads = []
    formatted = type(table)._getitem
    monkeypatch.setattr(
        type(table),
        "_getitem",
        lambda self, key, **options: (reads.append(key), formatted(self, key, **options))[1],
    )
    assert samples.take(torch.tensor([4, 1, 2])).y.tolist() == [1, 1, 0]
    assert reads == [[4, 1, 2]]
