import math
import os
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from obliviate.data.loading import LARGEST, Batches, PairedBatches, bounded, order
from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.augmentation import crop_flip
from obliviate.training.run import Run
from obliviate.types import Batch

Steps = Literal["forget", "longest"]
sizes = st.integers(1, 12)


def samples(n: int, name: str = "s") -> Samples:
    return Samples.from_tensors(torch.arange(float(n))[:, None], torch.arange(n), ids=[f"{name}{i}" for i in range(n)])


def ids(batches: list[Batch]) -> list[list[str]]:
    return [batch.ids.tolist() for batch in batches]


@settings(max_examples=40)
@given(n=st.integers(1, 50), seed=st.integers(0, 2**62), epoch=st.integers(0, 10**6))
def test_an_order_is_a_permutation_that_repeats(n: int, seed: int, epoch: int):
    permutation = order(n, seed=seed, epoch=epoch)
    assert sorted(permutation.tolist()) == list(range(n))
    assert torch.equal(permutation, order(n, seed=seed, epoch=epoch))


def test_an_order_depends_on_seed_and_epoch_only():
    orders = {tuple(order(20, seed=seed, epoch=epoch).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    before = torch.get_rng_state()
    torch.manual_seed(5)
    assert tuple(order(20, seed=0, epoch=0).tolist()) in orders
    torch.set_rng_state(before)
    order(20, seed=0, epoch=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_orders_are_uniform():
    """Of 3,000 shuffles of 4, each of the 24 orders comes 125 ± 5·11 times."""
    counts: dict[tuple[int, ...], int] = {}
    for epoch in range(3000):
        permutation = tuple(order(4, seed=1, epoch=epoch).tolist())
        counts[permutation] = counts.get(permutation, 0) + 1
    assert len(counts) == 24
    assert max(abs(count - 125) for count in counts.values()) < 55


@settings(max_examples=40)
@given(n=st.integers(1, 30), size=sizes, epoch=st.integers(0, 3), seed=st.none() | st.integers(0, 3))
def test_a_pass_gives_every_sample_once(n: int, size: int, epoch: int, seed: int | None):
    batches = Batches(samples(n), size, seed=seed, epoch=epoch)
    taken = list(batches)
    assert len(taken) == len(batches) == math.ceil(n / size)
    assert all(len(batch) == size for batch in taken[:-1])
    expected = torch.arange(n) if seed is None else order(n, seed=seed, epoch=epoch)
    assert torch.cat([name.y for name in taken]).tolist() == expected.tolist()
    for batch in taken:
        assert batch.ids.tolist() == [f"s{int(y)}" for y in batch.y]
        assert torch.equal(batch.x[:, 0], batch.y.float())
    assert ids(list(batches)) == ids(taken)  # a pass can be repeated


@settings(max_examples=40)
@given(
    forget=sizes, retain=st.integers(1, 30), size=sizes, seed=st.integers(0, 3), steps=st.sampled_from(Steps.__args__)
)
def test_both_streams_go_on_over_epochs_pass_by_pass(forget: int, retain: int, size: int, seed: int, steps: Steps):
    """Over many epochs, each stream is a concatenation of whole passes, whatever the other's length."""
    f, r = samples(forget, "f"), samples(retain, "r")
    epochs = [list(PairedBatches(f, r, size, seed, epoch, steps)) for epoch in range(6)]
    n = math.ceil(forget / size) if steps == "forget" else max(math.ceil(forget / size), math.ceil(retain / size))
    assert [len(epoch) for epoch in epochs] == [n] * 6
    assert len(PairedBatches(f, r, size, seed, 0, steps)) == n
    for data, side in ((f, 0), (r, 1)):
        per_pass = math.ceil(len(data) / size)
        seen = ids([pair[side] for epoch in epochs for pair in epoch])
        assert len(seen) == 6 * n
        for i in range(0, len(seen) - per_pass + 1, per_pass):
            one_pass = seen[i : i + per_pass]
            assert sorted(name for batch in one_pass for name in batch) == sorted(data.ids)


@pytest.mark.parametrize("steps", Steps.__args__)
def test_the_shorter_set_cycles(steps: Steps):
    f, r = samples(3, "f"), samples(10, "r")
    pairs = list(PairedBatches(f, r, 2, 0, 0, steps))
    assert len(pairs) == (2 if steps == "forget" else 5)
    if steps == "longest":
        assert sorted(name for _, batch in pairs for name in batch.ids) == sorted(r.ids)
        counts = [sum(name in batch.ids for batch, _ in pairs) for name in f.ids]
        assert min(counts) >= 2
    longer_forget = list(PairedBatches(r, f, 2, 0, 0, steps))
    assert len(longer_forget) == 5
    assert sorted(name for batch, _ in longer_forget for name in batch.ids) == sorted(r.ids)


def test_an_epoch_needs_nothing_of_those_before():
    f, r = samples(5, "f"), samples(7, "r")
    epochs = [list(PairedBatches(f, r, 2, 4, epoch)) for epoch in range(5)]
    alone = list(PairedBatches(f, r, 2, 4, 3))
    for side in (0, 1):
        assert ids([pair[side] for pair in alone]) == ids([pair[side] for pair in epochs[3]])
        assert ids([pair[side] for pair in epochs[2]]) != ids([pair[side] for pair in epochs[3]])


def test_passes_and_seeds_and_the_two_streams_are_shuffled_differently():
    same = samples(12)
    first = list(PairedBatches(same, same, 3, 0, 0))
    second = list(PairedBatches(same, same, 3, 0, 1))
    other = list(PairedBatches(same, same, 3, 1, 0))
    orders = [[name for pair in run for name in pair[side].ids] for run in (first, second, other) for side in (0, 1)]
    assert len({tuple(names) for names in orders}) == 6


# Workers


class Images(Dataset[Any]):
    """Images that say in which process they were read: the label is negative in a worker."""

    def __init__(self, n: int) -> None:
        self.x, self.parent = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(n)), os.getpid()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.x[i], -i - 1 if os.getpid() != self.parent else i + 1


def stored() -> dict[str, Samples]:
    """The ways in which a dataset can be part of samples."""
    first, second = (
        Samples.from_dataset(Images(n), ids=[f"{n}-{i}" for i in range(n)], in_memory=False) for n in (13, 9)
    )
    held = Samples.from_tensors(torch.rand(5, 1, 4, 4), torch.arange(5) + 1)
    augmented = first.transformed(crop_flip)
    return {
        "dataset": first,
        "augmented": augmented,
        "joined": first.joined(second),
        "augmented and joined": held.joined(augmented, second),
        "joined and augmented": held.joined(first).transformed(crop_flip),
    }


@pytest.mark.parametrize("name", stored())
def test_workers_read_every_dataset_and_give_the_same_batches(name: str) -> None:
    whole = stored()[name]
    samples = whole.without(whole.ids[3:5])

    def read(workers: int) -> list[Batch]:
        torch.manual_seed(1)
        return list(Batches(samples, 4, seed=3, epoch=1, workers=workers))

    for batch, same in zip(read(0), read(2), strict=True):
        assert torch.equal(batch.x, same.x)  # whatever is drawn at random is drawn in this process
        assert torch.equal(batch.y, same.y.abs())
        assert batch.ids.tolist() == same.ids.tolist()
        from_dataset = np.char.find(same.ids, "-") > 0
        assert ((same.y < 0).numpy() == from_dataset).all()


@pytest.mark.parametrize("steps", Steps.__args__)
def test_workers_read_paired_batches_too(steps: Steps) -> None:
    sets = stored()
    forget, retain = sets["augmented"].select(sets["augmented"].ids[:5]), sets["augmented and joined"]

    def read(workers: int) -> list[Batch]:
        torch.manual_seed(1)
        pairs = [pair for epoch in range(2) for pair in PairedBatches(forget, retain, 2, 4, epoch, steps, workers)]
        return [batch for pair in pairs for batch in pair]

    for batch, same in zip(read(0), read(1), strict=True):
        assert torch.equal(batch.x, same.x)
        assert batch.ids.tolist() == same.ids.tolist()
        assert ((same.y < 0).numpy() == (np.char.find(same.ids, "-") > 0)).all()


def test_a_run_hands_its_workers_on() -> None:
    sets = stored()
    run = Run(Classification(classes=3), workers=1, device="cpu")
    assert all((batch.y < 0).all() for batch in run.batches(sets["augmented"], 5, 0))
    assert all((batch.y < 0).all() for pair in run.paired(sets["augmented"], sets["joined"], 5, 0) for batch in pair)


def test_batches_to_ask_about_are_bounded_by_their_bytes_and_no_other():
    small = Samples.from_tensors(torch.zeros(3, 3, 64, 64), torch.zeros(3), ids=list("abc"))
    assert bounded(small, 500) == 500
    large = Samples.from_tensors(torch.zeros(3, 3, 224, 224), torch.zeros(3), ids=list("abc"))
    assert bounded(large, 500) == LARGEST // (3 * 224 * 224 * 4) == 55
    huge = Samples.from_tensors(torch.zeros(1, 2**23 + 1), torch.zeros(1), ids=["a"])
    assert bounded(huge, 500) == 1
