"""What a method makes of the weights."""

from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
import torch
from torch import nn

from obliviate import testing
from obliviate.data.split import Split
from obliviate.testing import Bench, Check, ContractError, weights
from obliviate.training.run import Run
from sound_method import Sound


class Random(Sound):
    """Draws outside the run's epochs."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.01 * torch.randn_like(weight))
        return super().__call__(model, split, run)


class Entropic(Sound):
    """Takes its randomness from the operating system."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return Sound(learning_rate=0.01 + 0.01 * SystemRandom().random())(model, split, run)


class Seedless(Sound):
    """Takes the batches in an order of its own."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = self.optimizer(model, run)
        for _ in run.epochs("seedless", self.epochs, model=model, optimizer=optimizer):
            run.fit(model, [split.kept.everything()], run.task.loss, optimizer)
        return model


class HeadOnly(Sound):
    """Changes no more than the last bias."""

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(model.parameters())[-1:], lr=self.learning_rate)


class Destructive(Sound):
    """Sets every weight to a half."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(0.5)
        return model


DEFECTS = [
    (weights.same_seed_gives_the_same_weights, Random, "to leave torch's global random state"),
    (weights.same_seed_gives_the_same_weights, Entropic, "the same weights from the same seed"),
    (weights.same_seed_gives_the_same_weights, Seedless, "other weights from another seed"),
    (weights.changes_the_weights_of_its_copy_alone, HeadOnly, "to change the weights of sound, got the same "),
    (weights.does_not_collapse_under_its_defaults, Destructive, "test accuracy above"),
]
CHECKS = [check for check in testing.CHECKS if check.__module__ == weights.__name__]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(CHECKS)
