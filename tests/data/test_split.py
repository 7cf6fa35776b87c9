import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.samples import Samples
from obliviate.data.split import Split, class_ids, random_ids
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
    assert split.reference is None


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
def test_a_reference_that_was_trained_on_is_refused(shared: str):
    reference = Samples.from_tensors(torch.rand(2, 2), torch.zeros(2), ids=["new", shared])
    with pytest.raises(DataError, match=f"^expected .* never trained on, got '{shared}' of the training set; "):
        Split.of(train(), forget=["k0"], reference=reference)
    unseen = reference.select(["new"])
    assert Split.of(train(), forget=["k0"], reference=unseen).reference is unseen


def test_without_the_retain_set_asking_for_it_is_an_error():
    reference = Samples.from_tensors(torch.rand(1, 2), torch.zeros(1), ids=["new"])
    split = Split.of(train(), forget=["k3"], reference=reference).without_retain()
    assert split.retain is None
    assert split.forget.ids.tolist() == ["k3"]
    assert split.reference is reference
    with pytest.raises(DataError, match=r"^expected a retain set, got none; "):
        _ = split.kept


@settings(max_examples=50)
@given(n=st.integers(2, 40), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_random_ids_have_the_right_number_and_repeat(n: int, share: float, seed: int):
    samples = train(n)
    ids = random_ids(samples, share, seed=seed)
    assert len(ids) == max(1, round(share * n))
    assert samples.places(ids).tolist() == sorted(samples.places(ids).tolist())
    assert ids.tolist() == random_ids(samples, share, seed=seed).tolist()


def test_random_ids_depend_on_the_seed_and_leave_global_random_states_alone():
    samples = train(60)
    before, kept = str(np.random.get_state()), torch.get_rng_state()  # pyright: ignore
    drawn = {tuple(random_ids(samples, 0.2, seed=seed)) for seed in range(20)}
    assert len(drawn) == 20
    # With 240 draws of 60 ids, one that is never drawn has probability 0.8²⁰ = 1 %; all but a few must appear.
    assert len({name for one in drawn for name in one}) > 50
    assert str(np.random.get_state()) == before  # pyright: ignore
    assert torch.equal(torch.get_rng_state(), kept)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_a_share_outside_the_open_unit_interval_is_refused(share: float):
    with pytest.raises(DataError, match=r"^expected a share of the training set in \(0, 1\), got .*; "):
        random_ids(train(), share, seed=0)


def test_a_class_is_every_sample_with_its_label():
    train = Samples.from_tensors(torch.zeros(5, 2), torch.tensor([2, 0, 2, 5, 2]), ids=list("abcde"))
    assert class_ids(train, 2).tolist() == ["a", "c", "e"]
    assert class_ids(train, 5).tolist() == ["d"]
    message = (
        r"^expected a class of the training set \(0 with 1 samples, 2 with 3, 5 with 1\), got 1; name one of them$"
    )
    with pytest.raises(DataError, match=message):
        class_ids(train, 1)


def test_a_class_is_asked_for_where_a_sample_has_one_label():
    train = Samples.from_tensors(torch.zeros(2, 2), torch.zeros(2, 3), ids=list("ab"))
    with pytest.raises(DataError, match=r"^expected one integer label per sample, got torch.float32 .*; name ids"):
        class_ids(train, 1)


def test_many_classes_are_not_all_listed():
    train = Samples.from_tensors(torch.zeros(100, 2), torch.arange(100))
    with pytest.raises(DataError, match=r"\(0 with 1 samples, 1 with 1, .* and 80 more\), got 100;"):
        class_ids(train, 100)
