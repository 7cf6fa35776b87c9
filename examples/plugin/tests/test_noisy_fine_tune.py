"""The contract that obliviate ships, and what is particular to this method."""

from pathlib import Path

import pytest
import torch
from obliviate_noisy import NoisyFineTune
from torch import nn

from obliviate import testing
from obliviate.methods import registry


@pytest.fixture(scope="module")
def bench() -> testing.Bench:
    return testing.Bench.small()


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda one: one.__name__)
def test_keeps_the_contract(check: testing.Check, bench: testing.Bench, tmp_path: Path) -> None:
    check(NoisyFineTune(), bench, tmp_path)


def test_is_found_through_its_entry_point() -> None:
    assert registry()["noisy_fine_tune"] is NoisyFineTune


def test_the_noise_has_the_spread_that_was_asked_for() -> None:
    model = nn.Linear(400, 400, bias=False)
    before = model.weight.detach().clone()
    torch.manual_seed(0)
    NoisyFineTune(noise=0.5).blur(model)
    added = (model.weight.detach() - before).std() / before.std()
    assert float(added) == pytest.approx(0.5, rel=0.02)
