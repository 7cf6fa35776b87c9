import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.history import History
from obliviate.data.samples import Samples
from obliviate.errors import DataError

NAMES = [f"k{i}" for i in range(8)]


def samples(names: list[str]) -> Samples:
    return Samples.from_tensors(torch.rand(len(names), 2), torch.arange(len(names)), ids=names)


@settings(max_examples=20, deadline=None)
@given(st.permutations(NAMES), st.lists(st.integers(1, 3), min_size=1, max_size=2))
def test_no_split_holds_what_was_forgotten_before(order: list[str], sizes: list[int]):
    history, gone = History(samples(NAMES)), set[str]()
    for size in sizes:
        wanted, order = order[:size], order[size:]
        split = history.split(wanted)
        assert split.forget.ids.tolist() == wanted
        assert set(split.kept.ids) == set(NAMES) - gone - set(wanted)
        history, gone = history.after(wanted), gone | set(wanted)
        assert set(history.forgotten) == gone
        assert set(history.remaining.ids) == set(NAMES) - gone


def test_an_id_is_asked_for_once_and_the_request_that_it_was_in_is_named():
    history = History(samples(NAMES)).after(["k1", "k2"]).after(["k5"])
    message = (
        "expected samples that are still trained on, got 'k2' of request 1 and 'k5' of request 2, which are forgotten "
        "already; leave them out of the request"
    )
    with pytest.raises(DataError, match=message):
        history.split(["k0", "k5", "k2"])
    assert history.before(2).split(["k5"]).kept.ids.tolist() == ["k0", "k3", "k4", "k6", "k7"]


@pytest.mark.parametrize(
    ("ids", "got"),
    [
        (["k9"], "got 'k9'"),
        ([], "got none"),
        (["k0", "k0"], "got 'k0' more than once"),
        (["k0", "k3"], "got all 2 samples; to forget everything, delete the model"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(ids: list[str], got: str):
    history = History(samples(NAMES)).after(["k1", "k2", "k4"]).after(["k5", "k6", "k7"])
    with pytest.raises(DataError, match=got):
        history.split(ids)
    assert len(history.requests) == 2


def test_holdout_samples_are_none_that_were_ever_trained_on():
    train = samples(NAMES)
    unseen = samples(["u0"])
    assert History(train, unseen).after(["k1"]).split(["k2"]).holdout is unseen
    with pytest.raises(DataError, match="expected a holdout set that was never trained on, got 'k1'"):
        History(train, train.select(["k1"]), (np.array(["k1"]),))


def test_an_erased_history_knows_the_ids_that_were_forgotten_and_nothing_else_of_them() -> None:
    x = torch.arange(12.0).view(6, 2)
    train = Samples.from_tensors(x, torch.zeros(6, dtype=torch.long), ids=list("abcdef"))
    unseen = Samples.from_tensors(x[:1] - 1, torch.zeros(1, dtype=torch.long), ids=["u"])
    whole = History(train, unseen).after(["b"]).after(["e", "a"])
    erased = whole.erased()
    assert erased.forgotten.tolist() == ["b", "e", "a"]
    assert erased.trained.ids.tolist() == erased.remaining.ids.tolist() == ["c", "d", "f"]
    assert erased.holdout is None
    assert x[1].numpy().tobytes() not in pickle.dumps(erased)
    assert x[1].numpy().tobytes() in pickle.dumps(whole)
    assert erased.after(["d"]).split(["c"]).kept.ids.tolist() == ["f"]
    with pytest.raises(DataError, match="got 'e' of request 2, which are forgotten already"):
        erased.split(["e"])
