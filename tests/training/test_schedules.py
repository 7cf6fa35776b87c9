from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as oracle

from obliviate.training import schedules


def rates(attach: Callable[[Optimizer], oracle.LRScheduler], steps: int) -> list[float]:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler, taken = attach(optimizer), []
    for _ in range(steps):
        taken.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return taken


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("constant", lambda optimizer: oracle.ConstantLR(optimizer, factor=1.0)),
        ("linear", lambda optimizer: oracle.LinearLR(optimizer, 1.0, 0.0, total_iters=200)),
        ("cosine", lambda optimizer: oracle.CosineAnnealingLR(optimizer, T_max=200)),
        ("step_tenths", lambda optimizer: oracle.StepLR(optimizer, 20, gamma=0.1)),
        ("step", lambda optimizer: oracle.MultiStepLR(optimizer, [40, 80, 120, 160])),
    ],
)
def test_schedules_equal_those_of_torch(name: str, reference: Callable[[Optimizer], oracle.LRScheduler]):
    taken = rates(lambda optimizer: schedules.make(name, optimizer, steps=200), 200)
    assert taken == pytest.approx(rates(reference, 200), abs=1e-9)


def test_one_cycle_is_that_of_torch_but_for_one_step():
    """Torch reaches peak and end one step earlier, and stops just above 0."""
    taken = rates(lambda optimizer: schedules.make("one_cycle", optimizer, steps=2000), 2000)
    expected = rates(lambda optimizer: oracle.OneCycleLR(optimizer, max_lr=2.0, total_steps=2001), 2000)
    assert taken == pytest.approx(expected, abs=2.0 * 0.005)
    assert taken[0] == pytest.approx(expected[0])
    assert max(taken) == taken[600] == 2.0


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_rates_stay_within_the_learning_rate_and_past_the_end(name: str):
    taken = rates(lambda optimizer: schedules.make(name, optimizer, steps=10), 15)
    assert all(0 <= rate <= 2.0 for rate in taken)
    assert len(set(taken[10:])) == 1
    assert taken[10] <= taken[9]
