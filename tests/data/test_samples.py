import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from obliviate.data.content import content_id
from obliviate.data.loading import Batches
from obliviate.data.samples import Samples, original_id
from obliviate.data.stores import CHUNK, JoinedStore, TensorStore
from obliviate.errors import DataError


class Pairs(Dataset[Any]):
    """A map-style dataset that counts its reads."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.reads = x, y, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        self.reads += 1
        return self.x[i], int(self.y[i])


class FromAnotherProcess(Pairs):
    """Adds 1 to what a worker process reads, so that a test can see who has read it."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__(x, y)
        self.parent = os.getpid()

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        x, y = super().__getitem__(i)
        return x + (os.getpid() != self.parent), y


def numbers(n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, 3, generator=generator), torch.randint(0, 4, (n,), generator=generator)


def named(n: int = 6) -> Samples:
    return Samples.from_tensors(torch.arange(2.0 * n).view(n, 2), torch.arange(n), ids=[f"k{i}" for i in range(n)])


# Construction


def test_ids_are_the_content_hashes():
    x, y = numbers(5)
    assert Samples.from_tensors(x, y).ids.tolist() == [content_id(x[i], y[i]) for i in range(5)]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("ids", [None, [f"k{i}" for i in range(CHUNK + 3)]])
def test_a_dataset_gives_the_samples_of_its_tensors(in_memory: bool, ids: list[str] | None):
    x, y = numbers(CHUNK + 3)
    expected = Samples.from_tensors(x, y, ids=ids)
    read = Samples.from_dataset(Pairs(x, y), ids=ids, in_memory=in_memory)
    assert read.ids.tolist() == expected.ids.tolist()
    assert read.sha256 == expected.sha256
    batch = read.everything()
    assert torch.equal(batch.x, x)
    assert torch.equal(batch.y, y)


def test_a_dataset_is_read_once_into_memory_and_on_demand_otherwise():
    held, lazy = Pairs(*numbers(5)), Pairs(*numbers(5))
    for dataset, in_memory in ((held, True), (lazy, False)):
        samples = Samples.from_dataset(dataset, ids=list("abcde"), in_memory=in_memory)
        dataset.reads = 0
        samples.select(["b", "d"]).everything()
    assert (held.reads, lazy.reads) == (0, 2)


def test_a_dataset_of_tensors_gives_the_same_ids_too():
    x, y = numbers(4)
    read = Samples.from_dataset(TensorDataset(x, y))
    assert read.ids.tolist() == Samples.from_tensors(x, y).ids.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_give_the_batches_of_memory(workers: int):
    x, y = numbers(23)
    held = Samples.from_tensors(x, y).without([Samples.from_tensors(x, y).ids[4]])
    lazy = Samples.from_dataset(FromAnotherProcess(x, y), in_memory=False).select(held.ids)
    batches = list(Batches(lazy, 5, seed=3, epoch=1, workers=workers))
    expected = list(Batches(held, 5, seed=3, epoch=1))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 2]
    for got, want in zip(batches, expected, strict=True):
        assert torch.equal(got.x, want.x + (workers > 0))
        assert torch.equal(got.y, want.y)
        assert got.ids.tolist() == want.ids.tolist()


def test_workers_leave_the_global_random_state_alone():
    lazy = Samples.from_dataset(Pairs(*numbers(4)), in_memory=False)
    before = torch.get_rng_state()
    list(Batches(lazy, 2, seed=3, workers=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("row", [0, CHUNK - 1, CHUNK, CHUNK + 2])
def test_values_that_are_not_finite_are_refused_with_the_sample_number(value: float, row: int):
    x, y = torch.zeros(CHUNK + 3, 2), torch.arange(CHUNK + 3)
    x[row, 1] = x[-1, 0] = value
    for make in (
        lambda: Samples.from_tensors(x, y),
        lambda: Samples.from_dataset(Pairs(x, y)),
        lambda: Samples.from_dataset(Pairs(x, y), in_memory=False),
    ):
        with pytest.raises(DataError, match=f"expected finite values, got NaN or Inf in sample {row};"):
            make()


def test_targets_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match=r"expected finite values, got NaN or Inf in sample 1;"):
        Samples.from_tensors(torch.zeros(3, 2), torch.tensor([0.0, float("nan"), 1.0]))


class Ragged(Pairs):
    """One sample, by its number, has another shape."""

    def __init__(self, n: int, odd: int) -> None:
        super().__init__(*numbers(n))
        self.odd = odd

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.zeros(3, 9 if i == self.odd else 8), 0


class Odd(Pairs):
    """Items that are no pair of tensors."""

    def __init__(self, item: Any) -> None:
        super().__init__(*numbers(3))
        self.item = item

    def __getitem__(self, i: int) -> Any:
        return self.item


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(("odd", "n"), [(2, 5), (CHUNK - 1, CHUNK), (CHUNK, CHUNK + 1), (CHUNK + 2, CHUNK + 3)])
def test_samples_of_different_shapes_are_refused_with_the_first_odd_one(in_memory: bool, odd: int, n: int):
    message = rf"^expected samples of one shape, got \(3, 9\) in sample {odd} and \(3, 8\) before it; resize them$"
    with pytest.raises(DataError, match=message):
        Samples.from_dataset(Ragged(n, odd), in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("item", [torch.zeros(2), (torch.zeros(2),), (torch.zeros(2), 1, 2), (object(), 1)])
def test_items_that_are_no_pairs_of_tensors_are_refused(in_memory: bool, item: Any):
    with pytest.raises(DataError, match=rf"^expected pairs \(input, target\) .*, got {type(item).__name__}.*; return"):
        Samples.from_dataset(Odd(item), in_memory=in_memory)


@pytest.mark.parametrize("in_memory", [True, False])
def test_sets_of_different_shapes_cannot_be_joined(in_memory: bool):
    first, second = (
        Samples.from_dataset(Pairs(torch.zeros(3, *shape), torch.zeros(3)), ids=ids, in_memory=in_memory)
        for shape, ids in (((1, 8, 8), list("abc")), ((3, 8, 8), list("def")))
    )
    with pytest.raises(DataError, match=r"^expected samples of one shape, got \(1, 8, 8\) and \(3, 8, 8\); resize"):
        first.joined(second).everything()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Samples.from_tensors(torch.zeros(3, 2), torch.zeros(2)), "got 3 inputs and 2 targets"),
        (lambda: Samples.from_tensors(torch.zeros(3, 2), torch.zeros(3), ids=["a", "b"]), "got 2 ids for 3 samples"),
        (lambda: Samples.from_tensors(torch.zeros(2, 2), torch.zeros(2), ids=["a", "a"]), "got 'a' more than once"),
        (lambda: Samples.from_tensors(torch.zeros(0, 2), torch.zeros(0)), "got none"),
        (lambda: Samples.from_dataset(Pairs(torch.zeros(0, 2), torch.zeros(0))), "got none"),
        (lambda: Samples.from_dataset(Pairs(torch.zeros(0, 2), torch.zeros(0)), in_memory=False), "got none"),
        (lambda: named(3).joined(named(4)), "got 'k0', 'k1', 'k2' more than once"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, message: str):
    with pytest.raises(DataError, match=r"^expected .*, got .*; ") as error:
        make()
    assert message in str(error.value)


# Selection


@settings(max_examples=40)
@given(st.data())
def test_selecting_keeps_order_and_leaving_out_keeps_the_rest(draw: st.DataObject):
    samples = named(8)
    chosen = draw.draw(st.lists(st.sampled_from(samples.ids.tolist()), unique=True))
    picked, rest = samples.select(chosen), samples.without(chosen)
    assert picked.ids.tolist() == chosen
    assert picked.everything().y.tolist() == [int(name[1:]) for name in chosen]
    assert rest.ids.tolist() == [name for name in samples.ids if name not in chosen]
    assert rest.everything().y.tolist() == [int(name[1:]) for name in rest.ids]
    # Selection composes.
    again = draw.draw(st.permutations(chosen))
    assert picked.select(again).everything().y.tolist() == [int(name[1:]) for name in again]


@pytest.mark.parametrize("how", ["select", "without", "places"])
def test_unknown_and_duplicate_ids_are_refused(how: str):
    samples = named().without(["k3"])
    with pytest.raises(DataError, match=r"expected ids of these 5 samples, got 'k3', 'nope'; "):
        getattr(samples, how)(["k1", "k3", "nope"])
    with pytest.raises(DataError, match=r"expected ids without duplicates, got 'k1' more than once; "):
        getattr(samples, how)(["k1", "k2", "k1"])


def test_at_keeps_where_the_mask_is_true():
    mask = np.array([True, False, False, True, True, False])
    assert named().at(mask).ids.tolist() == ["k0", "k3", "k4"]
    assert named().at(mask).everything().y.tolist() == [0, 3, 4]


def test_selecting_does_not_copy():
    samples = named()
    assert samples.select(["k4"]).store is samples.without(["k4"]).store is samples.store


@pytest.mark.parametrize("order", ["rows", "channels last", "transposed"])
def test_rows_in_memory_are_those_of_indexing_in_their_memory_order(order: str):
    x = torch.randn(5, 3, 4, 2)
    if order == "channels last":
        x = x.to(memory_format=torch.channels_last)
    elif order == "transposed":
        x = x.transpose(1, 2)
    rows = torch.tensor([4, 0, 4])
    got, y = TensorStore(x, torch.arange(5)).take(rows)
    assert torch.equal(got, x[rows])
    assert got.stride() == x[rows].stride()
    assert y.tolist() == [4, 0, 4]


# Joining


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4), in_memory=st.booleans(), draw=st.data())
def test_joined_samples_come_from_the_right_place_in_any_order(sizes: list[int], in_memory: bool, draw: st.DataObject):
    """Also where some are read through a transform, as augmented images are, or from a dataset."""
    parts = [
        Samples.from_tensors(torch.full((n, 2), float(i)), torch.arange(n), ids=[f"{i}-{j}" for j in range(n)])
        for i, n in enumerate(sizes)
    ]
    if not in_memory:
        parts[0] = parts[0].transformed(lambda x: x + 0)
        last = parts[-1].everything()
        parts[-1] = Samples.from_dataset(Pairs(last.x, last.y), ids=last.ids, in_memory=False)
    joined = parts[0].joined(*parts[1:])
    assert joined.ids.tolist() == [name for part in parts for name in part.ids]
    names = draw.draw(st.lists(st.sampled_from(joined.ids.tolist()), unique=True, min_size=1))
    batch = joined.select(names).everything()
    assert [f"{int(x)}-{int(y)}" for x, y in zip(batch.x[:, 0], batch.y, strict=True)] == names
    assert batch.ids.tolist() == names


def test_joined_rows_may_repeat():
    x, y = torch.arange(5.0)[:, None], torch.arange(5)
    store = JoinedStore((TensorStore(x[:2], y[:2]), TensorStore(x[2:], y[2:])))
    got = store.take(torch.tensor([4, 0, 4, 2, 0]))
    assert got[0].flatten().tolist() == got[1].tolist() == [4, 0, 4, 2, 0]
    assert len(store) == 5


@pytest.mark.parametrize("transform", [None, torch.neg])
def test_joining_selections_brings_back_nothing_that_was_left_out(transform: Callable[[Tensor], Tensor] | None):
    first, second = named(4).without(["k1"]).transformed(transform), named(6).select(["k5", "k4"])
    joined = first.joined(second)
    assert joined.ids.tolist() == ["k0", "k2", "k3", "k5", "k4"]
    assert joined.everything().y.tolist() == [0, 2, 3, 5, 4]
    seen = [name for batch in Batches(joined, 2, seed=0) for name in batch.ids]
    assert sorted(seen) == sorted(joined.ids)


def test_a_transform_changes_the_inputs_as_they_are_read():
    doubled = named().transformed(lambda x: 2 * x).select(["k2"])
    assert doubled.everything().x.tolist() == [[8.0, 10.0]]
    assert doubled.everything().y.tolist() == [2]
    samples = named()
    assert samples.transformed(None) is samples


def test_moving_to_another_device_moves_values_but_not_ids():
    moved = named().select(["k5", "k0"]).to(torch.device("meta"))
    assert moved.everything().x.device.type == "meta"
    assert moved.ids.tolist() == ["k5", "k0"]
    assert len(moved.store) == 2  # nothing of the samples that are not among them
    samples = named()
    assert samples.to(torch.device("cpu")) is samples


def test_what_is_read_through_a_transform_or_joined_moves_as_well_and_is_transformed_there():
    asked: list[str] = []

    def doubled(x: Tensor) -> Tensor:
        asked.append(x.device.type)
        return 2 * x

    samples = named().select(["k5", "k0"]).transformed(doubled)
    joined = samples.joined(Samples.from_tensors(torch.zeros(2, 2), torch.arange(2), ids=["a", "b"])).select(
        ["b", "k0"]
    )
    for moved in (samples.to(torch.device("meta")), joined.to(torch.device("meta"))):
        assert moved.everything().x.device.type == "meta"
        assert len(moved.store) == 2
    assert set(asked) == {"meta"}
    for here in (samples, joined):
        assert here.to(torch.device("cpu")) is here


@settings(max_examples=30)
@given(data=st.data())
def test_moved_samples_are_those_from_before(data: st.DataObject):
    """Whatever was joined, transformed, read from a dataset and selected; a move is from the processor to itself."""
    last = named(3).everything()
    parts = (
        named(4).select(["k3", "k0", "k1"]).transformed(torch.neg),
        Samples.from_tensors(torch.full((3, 2), 0.5), torch.arange(3), ids=list("abc")),
        Samples.from_dataset(Pairs(last.x, last.y), ids=list("def"), in_memory=False),
    )
    joined = parts[0].joined(*parts[1:])
    ids = data.draw(st.lists(st.sampled_from(joined.ids.tolist()), unique=True, min_size=1))
    selected = joined.select(ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("obliviate.data.stores._same", lambda *_: False)
        moved = selected.to(torch.device("cpu"))
    assert moved.store is not selected.store
    before, after = selected.everything(), moved.everything()
    assert torch.equal(before.x, after.x)
    assert torch.equal(before.y, after.y)
    assert before.ids.tolist() == after.ids.tolist() == ids


# Identity


@settings(max_examples=30)
@given(st.permutations(range(7)))
def test_ids_survive_reordering(order: list[int]):
    x, y = numbers(7)
    samples, shuffled = Samples.from_tensors(x, y), Samples.from_tensors(x[order], y[order])
    assert shuffled.ids.tolist() == samples.ids[order].tolist()
    assert shuffled.select(samples.ids).sha256 == samples.sha256
    assert (shuffled.sha256 == samples.sha256) == (order == sorted(order))


def test_copies_get_numbered_ids():
    x, y = torch.zeros(4, 2), torch.tensor([0, 0, 1, 0])
    ids = Samples.from_tensors(x, y).ids.tolist()
    assert ids[1] == f"{ids[0]}-2"
    assert ids[3] == f"{ids[0]}-3"
    assert ids[2] != ids[0]
    assert "-" not in ids[2]


def test_sha256_changes_with_content_labels_ids_and_order():
    x, y = torch.arange(6.0).view(3, 2), torch.arange(3)

    def sha256(x: Tensor, y: Tensor, ids: str = "abc") -> str:
        return Samples.from_tensors(x, y, ids=list(ids)).sha256

    swapped = [1, 0, 2]
    hashes = {
        sha256(x, y),
        sha256(x + 1e-6 * (x == 5), y),
        sha256(x, y + (y == 2)),
        sha256(x, y, "abd"),
        sha256(x[swapped], y[swapped], "bac"),
        sha256(x[swapped], y[swapped]),
        sha256(x[:2], y[:2], "ab"),
        sha256(x.view(3, 2, 1), y),
        sha256(x.double(), y),
    }
    assert len(hashes) == 9
    assert sha256(x.clone(), y.clone()) in hashes


def test_repr_names_size_and_hash():
    samples = named()
    assert repr(samples) == f"Samples(n=6, sha256='{samples.sha256[:12]}')"


# Inputs that are not what they seem


class Jittered(Pairs):
    """Adds noise to an item, drawn from torch, numpy or Python, as a random transform does, in `share` of the reads."""

    def __init__(self, x: Tensor, y: Tensor, draw: Callable[[], float], share: float = 1.0) -> None:
        super().__init__(x, y)
        self.draw, self.share = draw, share

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        x, y = super().__getitem__(i)
        noise = self.draw()
        return x + (noise if noise <= self.share else 0.0), y


DRAWS: dict[str, Callable[[], float]] = {
    "torch": lambda: float(torch.rand(())),
    "numpy": lambda: float(np.random.rand()),
    "python": random.random,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize(("in_memory", "ids"), [(True, None), (True, list("abc")), (False, None)])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_dataset_with_random_transforms_is_refused(
    draw: Callable[[], float], in_memory: bool, ids: str | None, share: float
):
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    with pytest.raises(DataError, match=r"^expected a dataset that gives the same item twice, got .*in_memory=False"):
        Samples.from_dataset(Jittered(*numbers(3), draw, share), ids=ids, in_memory=in_memory)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_random_transforms_are_legal_for_samples_that_are_read_when_needed_under_ids(draw: Callable[[], float]):
    samples = Samples.from_dataset(Jittered(*numbers(3), draw), ids=list("abc"), in_memory=False)
    assert samples.ids.tolist() == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"^expected unseen samples whose dataset gives the same item twice, got"):
        samples.select(["b"]).check_steady(what="unseen samples")


@pytest.mark.parametrize("n", [1, 3, 40])
def test_the_check_leaves_random_states_as_they_were_and_steady_datasets_alone(n: int):
    samples = Samples.from_dataset(Pairs(*numbers(n)), in_memory=False)
    samples.check_steady(what="samples")
    jittered = Samples.from_dataset(Jittered(*numbers(n), DRAWS["torch"]), ids=map(str, range(n)), in_memory=False)
    state, python = torch.get_rng_state(), random.getstate()
    with pytest.raises(DataError):
        jittered.check_steady(what="samples")
    assert torch.get_rng_state().equal(state)
    assert random.getstate() == python


def test_copies_are_found_bit_for_bit_whatever_their_labels_and_where_they_are_held():
    x, y = numbers(5)
    x[3] = x[1]
    held = Samples.from_tensors(x, y, ids=list("abcde"))
    lazy = Samples.from_dataset(Pairs(x, y), ids=list("abcde"), in_memory=False)
    for samples in (held, lazy):
        assert samples.without(["b"]).copies_of(samples.select(["b"])).tolist() == ["d"]
        assert samples.without(["a"]).copies_of(samples.select(["a"])).tolist() == []
    x[4] = x[0]
    x[4, 0, 0] += 1e-6
    near = Samples.from_tensors(x, y, ids=list("abcde"))
    assert near.without(["a"]).copies_of(near.select(["a"])).tolist() == []


def test_inputs_are_hashed_once_for_all_selections():
    dataset = Pairs(*numbers(5))
    samples = Samples.from_dataset(dataset, ids=list("abcde"), in_memory=False)
    hashes = samples.inputs
    dataset.reads = 0
    chosen = samples.select(["d", "b"])
    assert chosen.inputs.tolist() == hashes[[3, 1]].tolist()
    assert samples.without(["a"]).copies_of(chosen).tolist() == ["b", "d"]
    assert dataset.reads == 0


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_inputs_of_every_type_can_be_compared(dtype: torch.dtype):
    samples = Samples.from_tensors(torch.tensor([0, 1, 0]).to(dtype), torch.arange(3), ids=list("abc"))
    assert samples.without(["a"]).copies_of(samples.select(["a"])).tolist() == ["c"]


def test_repeated_samples_have_ids_of_their_own_that_tell_the_first() -> None:
    samples = Samples.from_tensors(torch.arange(3.0)[:, None], torch.arange(3), ids=["a", "b", "c"])
    thrice = samples.select(["c", "a"]).repeated(3)
    assert len(set(thrice.ids.tolist())) == 6
    assert [original_id(name) for name in thrice.ids] == ["c", "a"] * 3
    assert thrice.everything().y.tolist() == [2, 0] * 3
    assert samples.repeated(1).ids.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("own_ids", [True, False])
def test_a_lazy_dataset_is_read_once_for_its_ids_its_copies_and_its_targets(own_ids: bool):
    dataset = Pairs(torch.arange(40.0).reshape(20, 2), torch.arange(20) % 2)
    ids = [f"{place}" for place in range(20)] if own_ids else None
    samples = Samples.from_dataset(dataset, ids=ids, in_memory=False)
    again = 0 if own_ids else 24  # what tells whether it is steady
    again += 1  # the first one says what an item is
    assert dataset.reads == 20 + again
    assert len(samples.inputs) == 20
    assert samples.targets.tolist() == [0, 1] * 10
    part = samples.select(samples.ids[3:5])
    assert (part.targets.tolist(), len(part.inputs)) == ([1, 0], 2)
    assert dataset.reads == 20 + again


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_inputs_of_any_float_have_ids_and_a_hash(dtype: torch.dtype):
    x, y = torch.rand(4, 3).to(dtype), torch.arange(4) % 2
    samples = Samples.from_tensors(x, y)
    assert len(set(samples.ids.tolist())) == 4
    same = samples.sha256 == Samples.from_tensors(x.float(), y, ids=samples.ids).sha256
    assert same is (dtype is torch.bfloat16)  # which numpy does not know: it is held as float32


class Listed(Pairs):
    """A dataset that lists its targets, as those of torchvision do."""

    def __init__(self, x: Tensor, y: Tensor, listed: Any) -> None:
        super().__init__(x, y)
        self.targets = listed


def test_targets_are_read_without_inputs_where_a_dataset_lists_them():
    x, y = numbers(50)
    for dataset in (Listed(x, y, y.tolist()), Listed(x, y, y), Listed(x, y, y.numpy())):
        for source, rows in ((dataset, range(50)), (Subset(dataset, range(20, 0, -1)), range(20, 0, -1))):
            names = [f"k{row}" for row in rows]
            samples = Samples.from_dataset(source, ids=names, in_memory=False, checked=False)
            dataset.reads = 0
            assert samples.select(names[3:9]).targets.tolist() == y[list(rows)[3:9]].tolist()
            assert dataset.reads <= 6  # which tell whether the list is that of these rows


@pytest.mark.parametrize("listed", ["shifted", "short", "words"])
def test_a_list_that_is_not_of_the_targets_is_not_trusted(listed: str):
    x, y = numbers(50)
    values: Any = {"shifted": y + 1, "short": y[:-1], "words": ["a"] * 50}[listed]
    samples = Samples.from_dataset(Listed(x, y, values), ids=map(str, range(50)), in_memory=False, checked=False)
    assert samples.targets.equal(y)


def test_an_unchecked_dataset_is_read_once_for_all_that_is_asked_of_it_and_refuses_nan_as_it_comes():
    x, y = numbers(40)
    dataset = Pairs(x, y)
    samples = Samples.from_dataset(dataset, ids=map(str, range(40)), in_memory=False, checked=False)
    assert dataset.reads <= 2
    dataset.reads = 0
    held = Samples.from_tensors(x, y, ids=samples.ids)
    assert samples.sha256 == held.sha256
    assert samples.inputs.tolist() == held.inputs.tolist()
    assert samples.targets.equal(y)
    assert samples.select(["4", "2"]).sha256 == held.select(["4", "2"]).sha256
    assert dataset.reads == 40
    x[31] = float("nan")
    for workers in (0, 1):
        with pytest.raises(DataError, match="expected finite values, got NaN or Inf in sample 31;"):
            list(Batches(samples, 20, workers=workers))


@pytest.mark.parametrize("options", [{"ids": None, "in_memory": False}, {"in_memory": True, "ids": list("abc")}])
def test_what_is_read_anyway_cannot_be_left_unchecked(options: Any):
    with pytest.raises(DataError, match="expected checked=False beside in_memory=False and ids, got it without;"):
        Samples.from_dataset(Pairs(*numbers(3)), checked=False, **options)


def test_the_workers_of_a_loader_read_its_dataset_the_first_time():
    x, y = numbers(CHUNK + 3)
    names = [f"k{place}" for place in range(len(x))]
    lazy = Samples.from_dataset(DataLoader(FromAnotherProcess(x, y), num_workers=1), ids=names, in_memory=False)
    assert lazy.inputs.tolist() == Samples.from_tensors(x + 1, y, ids=names).inputs.tolist()
    assert Samples.from_dataset(DataLoader(Pairs(x, y), num_workers=1)).sha256 == Samples.from_tensors(x, y).sha256
