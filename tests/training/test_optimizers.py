from typing import Any

import pytest
import torch
from torch import nn

from obliviate.errors import MethodError
from obliviate.methods.fine_tune import FineTune
from obliviate.training.optimizers import SGD, Adam, make


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_settings_reach_the_optimiser_of_all_parameters(name: str, kind: type[torch.optim.Optimizer]) -> None:
    model = nn.Linear(3, 2)
    optimizer = make(model, SGD(optimizer=name, learning_rate=0.3, momentum=0.7, weight_decay=0.01))
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.3, 0.01, 2)
    assert (group["momentum"] if name == "sgd" else group["betas"][0]) == 0.7


def test_a_rate_that_is_given_replaces_that_of_the_settings() -> None:
    (group,) = make(nn.Linear(3, 2), Adam(learning_rate=0.3), learning_rate=0.1).param_groups
    assert group["lr"] == 0.1


@pytest.mark.parametrize(("name", "rate"), [("recipe", 0.1), ("sgd", "1.5x")])
def test_settings_that_are_no_numbers_yet_are_refused(name: str, rate: Any) -> None:
    steps = FineTune(optimizer=name, learning_rate=rate, momentum=0.9, weight_decay=0.0)
    with pytest.raises(MethodError, match="expected an optimizer of sgd, adam, adamw and its settings in numbers"):
        make(nn.Linear(3, 2), steps)
