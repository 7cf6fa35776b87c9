from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.rules import with_copies
from obliviate.data.samples import Samples
from obliviate.data.split import Split, refuse_copies
from obliviate.errors import DataError

NAMES = [f"k{i}" for i in range(8)]


def train(n: int = 8) -> Samples:
    return Samples.from_tensors(torch.rand(n, 2), torch.arange(n), ids=[f"k{i}" for i in range(n)])


@settings(max_examples=50)
@given(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=7))
def test_forget_and_retain_are_a_partition(chosen: list[str]):
    split = Split.of(train(), forget=chosen)
    assert split.forget.ids.tolist() == chosen
    assert split.kept.ids.tolist() == [name for name in NAMES if name not in chosen]
    assert split.holdout is None


def test_second_request_never_sees_forgotten_ids():
    first = Split.of(train(), forget=["k1", "k5"])
    with pytest.raises(DataError, match="got 'k5'"):
        Split.of(first.kept, forget=["k5", "k2"])
    second = Split.of(first.kept, forget=["k2"])
    left = {"k1", "k2", "k5"}
    assert set(second.kept.ids) == set(NAMES) - left
    assert set(second.kept.everything().y.tolist()) == {int(name[1:]) for name in NAMES} - {1, 2, 5}


@pytest.mark.parametrize(
    ("forget", "got"),
    [
        ([], "got none"),
        (NAMES, "got all 8 samples"),
        (NAMES[::-1], "got all 8 samples"),
        (["k1", "nope"], "got 'nope'"),
        ([*NAMES, "nope"], "got 'nope'"),
        (["k1", "k2", "k1"], "got 'k1' more than once"),
    ],
)
def test_impossible_requests_are_refused(forget: list[str], got: str):
    with pytest.raises(DataError, match=r"^expected .*, got .*; .") as error:
        Split.of(train(), forget=forget)
    assert got in str(error.value)


@pytest.mark.parametrize("shared", ["k0", "k7"])
def test_a_holdout_set_that_was_trained_on_is_refused(shared: str):
    holdout = Samples.from_tensors(torch.rand(2, 2), torch.zeros(2), ids=["new", shared])
    with pytest.raises(DataError, match=f"^expected .* never trained on, got '{shared}' of the training set; "):
        Split.of(train(), forget=["k0"], holdout=holdout)
    unseen = holdout.select(["new"])
    assert Split.of(train(), forget=["k0"], holdout=unseen).holdout is unseen


def test_without_the_retain_set_asking_for_it_is_an_error():
    holdout = Samples.from_tensors(torch.rand(1, 2), torch.zeros(1), ids=["new"])
    split = Split.of(train(), forget=["k3"], holdout=holdout).without_retain()
    assert split.retain is None
    assert split.forget.ids.tolist() == ["k3"]
    assert split.holdout is holdout
    with pytest.raises(DataError, match=r"^expected a retain set, got none; "):
        _ = split.kept


def test_retained_copies_of_forget_samples_are_told_and_taken_along():
    x = torch.arange(8.0).view(4, 2)[[0, 1, 2, 3, 0, 1]]
    samples = Samples.from_tensors(x, torch.tensor([0, 1, 0, 1, 1, 1]), ids=list("abcdef"))
    split = Split.of(samples, forget=["a", "c"])
    assert split.copies.tolist() == ["e"]  # its label is another
    with pytest.raises(DataError, match=r"^expected a retain set, got none; "):
        _ = split.without_retain().copies
    whole = Split.of(samples, forget=with_copies(["a", "c"]))
    assert whole.forget.ids.tolist() == ["a", "c", "e"]
    assert whole.copies.tolist() == []
    assert Split.of(samples, forget=with_copies("class:0")).forget.ids.tolist() == ["a", "c", "e"]


def test_unseen_samples_that_are_copies_of_trained_ones_are_refused():
    generator = torch.Generator().manual_seed(0)
    trained = Samples.from_tensors(torch.rand(40, 3, generator=generator), torch.zeros(40))
    x = torch.rand(5, 3, generator=generator)
    x[[1, 4]] = trained.everything().x[[7, 39]]
    unseen = Samples.from_tensors(x, torch.ones(5), ids=list("abcde"))
    parts = trained.select(trained.ids[:20]), trained.without(trained.ids[:20])
    with pytest.raises(DataError, match=r"^expected unseen .* got 2 that are copies .* \(first: 'b'\); remove them$"):
        refuse_copies(unseen, *parts)
    refuse_copies(unseen.without(["b", "e"]), *parts)


def test_equal_rows_of_few_categories_are_told_and_not_refused(caplog: pytest.LogCaptureFixture):
    rows = torch.tensor([[i % 2, i // 2 % 2] for i in range(40)]).float()
    trained = Samples.from_tensors(rows, torch.zeros(40))
    refuse_copies(Samples.from_tensors(rows[:10], torch.ones(10)), trained)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("10 of 10 unseen samples have the input of a training sample; equal inputs")
    assert caplog.records[0].name.startswith("obliviate.")


# ------------------------------------------------------------------------------------------- sets that do not fit


@pytest.mark.parametrize("shared", ["s00", "s20"], ids=["forget", "retain"])
def test_a_split_of_such_sets_is_refused_too(tiny: Samples, shared: str) -> None:
    forget, retain, holdout = (tiny.select(tiny.ids[first : first + 10]) for first in (0, 20, 40))
    with pytest.raises(DataError, match=rf"expected a holdout set that was never trained on, got '{shared}' of the tr"):
        Split(forget, retain, holdout.joined(tiny.select([shared])))


def test_a_retain_set_with_samples_to_forget_is_refused(tiny: Samples) -> None:
    with pytest.raises(DataError, match=r"expected a retain set without the samples to forget, got 's04' in both; use"):
        Split(tiny.select(tiny.ids[:5]), tiny.select(tiny.ids[4:]))


@pytest.mark.parametrize("odd", ["retain", "holdout"])
def test_sets_of_different_shapes_are_refused(tiny: Samples, odd: str) -> None:
    forget, retain, holdout = (tiny.select(tiny.ids[first : first + 10]) for first in (0, 20, 40))
    wide = Samples.from_tensors(torch.rand(2, 7), torch.zeros(2).long(), ids=["x", "y"])
    message = rf"^expected samples of one shape, got \(6,\) and \(7,\) in the {odd} set; resize them$"
    with pytest.raises(DataError, match=message):
        Split(forget, wide if odd == "retain" else retain, wide if odd == "holdout" else holdout)


@pytest.mark.parametrize("mask", [[True, False], np.array([True, False]), torch.tensor([True, False])])
@pytest.mark.usefixtures("unchecked")
def test_a_mask_is_told_from_ids(mask: Any) -> None:
    train = Samples.from_tensors(torch.zeros(2, 1), torch.tensor([0, 1]), ids=["a", "b"])
    with pytest.raises(DataError, match=r"^expected ids to forget, got a mask of true and false; .*ids\[mask\]"):
        Split.of(train, forget=mask)


@pytest.mark.parametrize("wrong", [None, 0.1, 7])
@pytest.mark.usefixtures("unchecked")
def test_what_names_no_samples_is_refused(wrong: Any) -> None:
    train = Samples.from_tensors(torch.zeros(2, 1), torch.tensor([0, 1]), ids=["a", "b"])
    with pytest.raises(DataError, match=r"^expected ids, a rule or its text .*a tenth is 'random:0.1'$"):
        Split.of(train, forget=wrong)
