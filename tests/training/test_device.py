import pytest
import torch
from torch import nn

from obliviate.errors import TrainingError
from obliviate.training.compute import Compute
from obliviate.training.device import best, brought, chosen


def test_where_none_is_asked_for_it_is_the_best() -> None:
    assert chosen() == best()
    with Compute(device="cpu").used():
        assert chosen() == torch.device("cpu")
    assert chosen(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "CPU"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match=f"expected a device of cpu.*, got '{name}'; name one that is there"):
        chosen(name)


def test_a_device_that_is_not_there_is_refused_as_a_value_of_torch_too() -> None:
    with pytest.raises(TrainingError, match=r"expected a device of cpu.*, got 'cuda:99'; name one that is there"):
        chosen(torch.device("cuda:99"))


def test_auto_is_the_best_whatever_is_asked_for_around() -> None:
    with Compute(device="cpu").used():
        assert chosen("auto") == best()
    with Compute(device="auto").used():
        assert chosen() == best()


def test_a_model_stays_where_it_is_unless_a_device_is_asked_for() -> None:
    model = nn.Linear(2, 2, device="meta")
    assert brought(model) is model
    with Compute(device="cpu").used():
        assert next(brought(nn.Linear(2, 2)).parameters()).device.type == "cpu"
