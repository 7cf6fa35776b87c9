"""What a method makes of the weights."""

from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from obliviate import testing
from obliviate.data.split import Split
from obliviate.testing import Bench, Check, ContractError, weights
from obliviate.training.run import Run
from obliviate.types import Batch
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


class Bounded(Sound):
    """Goes up the loss of the samples to forget as far as a bound, and says that its batches can be divided."""

    divisible: ClassVar[bool] = True

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        def loss(model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
            reached = self.of_batch(run.task.loss(model, forget), forget, run)
            return 4 * (1.5 - reached).relu() ** 2 + run.task.loss(model, retain)

        optimizer = self.optimizer(model, run)
        for epoch in run.epochs("bounded", self.epochs, model=model, optimizer=optimizer):
            run.fit(model, run.paired(split.forget, split.kept, 9, epoch), loss, optimizer)
        return model

    def of_batch(self, mean: Tensor, forget: Batch, run: Run) -> Tensor:
        return mean


class Divisible(Bounded):
    """The same, of which it is true."""

    def of_batch(self, mean: Tensor, forget: Batch, run: Run) -> Tensor:
        (whole,) = run.batch_means((mean, forget))
        return whole


DEFECTS = [
    (weights.divides_its_batches_if_it_says_so, Bounded, "pieces of batches to give the weights of whole ones"),
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


@pytest.mark.parametrize("model", ["plain", "with batch norm"])
def test_a_method_that_asks_for_the_mean_of_the_batch_may_say_that_it_divides(
    model: str, bench: Bench, tmp_path: Path
) -> None:
    if model == "with batch norm":
        normed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        bench = replace(bench, original=normed.eval())
    weights.divides_its_batches_if_it_says_so(Divisible(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(CHECKS)
