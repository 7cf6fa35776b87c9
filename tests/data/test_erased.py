import numpy as np
import pytest
import torch

from obliviate.data.erased import Erased, erased_ids, readable
from obliviate.data.samples import Samples
from obliviate.errors import DataError


@pytest.fixture
def whole() -> Samples:
    train = Samples.from_tensors(torch.rand(3, 2), torch.tensor([0, 1, 0]), ids=list("abc"))
    return Erased(np.array(["x", "y"]), np.array([1, 2], dtype=np.uint64)).joined_to(train)


def test_erased_rows_have_names_and_no_contents(whole: Samples) -> None:
    assert whole.shape == (2,)
    assert whole.select(["b", "y"]).inputs.tolist() == [whole.inputs[1], 2]
    assert erased_ids(whole.select(["y", "a", "x"])).tolist() == ["y", "x"]
    assert whole.select(["c", "a"]).everything().y.tolist() == [0, 0]
    with pytest.raises(DataError, match=r"got 1 that were erased; retrain and sisa do without them"):
        whole.select(["a", "y"]).everything()


def test_samples_without_erased_rows_are_held_as_ever(whole: Samples) -> None:
    kept = readable(whole.without(["x", "y"]))
    assert kept.sha256 == whole.select(["a", "b", "c"]).sha256
    assert readable(whole) is whole
    assert erased_ids(kept).tolist() == []


def test_some_are_left_out() -> None:
    erased = Erased(np.array(["x", "y"]), np.array([1, 2], dtype=np.uint64)).but(np.array(["x", "z"]))
    assert (erased.ids.tolist(), erased.inputs.tolist()) == (["y"], [2])
