import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.samples import Samples
from obliviate.data.split import Split
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
