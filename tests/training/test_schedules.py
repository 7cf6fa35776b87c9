from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as oracle

from obliviate.training import schedules


def rates(attach: Callable[[Optimizer], oracle.LRScheduler], steps: int) -> list[float]:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    scheduler, found = attach(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("constant", lambda one: oracle.ConstantLR(one, factor=1.0)),
        ("linear", lambda one: oracle.LinearLR(one, 1.0, 0.0, total_iters=200)),
        ("cosine", lambda one: oracle.CosineAnnealingLR(one, T_max=200)),
        ("step_tenths", lambda one: oracle.StepLR(one, 20, gamma=0.1)),
        ("step", lambda one: oracle.MultiStepLR(one, [40, 80, 120, 160])),
    ],
)
def test_schedules_equal_those_of_torch(name: str, reference: Callable[[Optimizer], oracle.LRScheduler]):
    found = rates(lambda one: schedules.make(name, one, steps=200), 200)
    assert found == pytest.approx(rates(reference, 200), abs=1e-9)


def test_one_cycle_is_that_of_torch_but_for_one_step():
    """Torch reaches peak and end one step earlier, and stops just above 0."""
    found = rates(lambda one: schedules.make("one_cycle", one, steps=2000), 2000)
    expected = rates(lambda one: oracle.OneCycleLR(one, max_lr=2.0, total_steps=2001), 2000)
    assert found == pytest.approx(expected, abs=2.0 * 0.005)
    assert found[0] == pytest.approx(expected[0])
    assert max(found) == found[600] == 2.0


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_rates_stay_within_the_learning_rate_and_past_the_end(name: str):
    found = rates(lambda one: schedules.make(name, one, steps=10), 15)
    assert all(0 <= rate <= 2.0 for rate in found)
    assert len(set(found[10:])) == 1
    assert found[10] <= found[9]
