"""A budget: a method is as long as a share of a retraining pays for, by counting what passes through the model."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.amun import AMUN
from obliviate.methods.base import Method, settle
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.mixunlearn import MixUnlearn
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.neg_grad_plus import NegGradPlus
from obliviate.methods.ssd import SSD
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.workflow import TrainedModel
from obliviate.workflow.budget import THERE_AND_BACK, within_budget

TASK = Classification(classes=2)
RECIPE = Recipe(epochs=20, learning_rate=0.05, batch_size=16, precision="float32")


class Counting(nn.Module):
    """A linear model that counts, itself, the samples that it is asked about and those that it learns from."""

    counts: dict[str, float] = {}  # noqa: RUF012 - shared by all copies of the model

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.counts["passed"] = self.counts.get("passed", 0.0) + len(x) * (
            THERE_AND_BACK if torch.is_grad_enabled() else 1
        )
        return self.layers(x)


def samples(count: int, first: str, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = (0.5 + 0.15 * torch.randn(count, 4, generator=generator) + 0.2 * (y[:, None] - 0.5)).clamp(0, 1)
    return Samples.from_tensors(x, y, ids=[f"{first}{number}" for number in range(count)])


@pytest.fixture(scope="module")
def split() -> Split:
    train = samples(1000, "t", 0)
    return Split.of(train, forget=train.ids[:100], holdout=samples(100, "r", 1))


@pytest.fixture(scope="module")
def model(split: Split) -> nn.Module:
    """One that knows its samples: how long a search for adversarial examples is depends on that."""
    recipe = replace(RECIPE, epochs=10)
    return Run(TASK, recipe=replace(recipe, model=Counting)).train(split.kept.joined(split.forget))


def test_fine_tuning_gets_just_the_epochs_that_are_paid_for(model: nn.Module, split: Split) -> None:
    affordable = within_budget(0.25, TrainedModel.given(model, TASK, recipe=RECIPE), split, FineTune())
    assert getattr(affordable.method, "epochs") == 5  # noqa: B009
    assert affordable.share == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("method", [AMUN(), NablaTau(), MixUnlearn(), NegGradPlus(epochs="20%")], ids=repr)
def test_what_a_run_was_expected_to_cost_is_what_passes_through_the_model(
    method: Method, model: nn.Module, split: Split
) -> None:
    affordable = within_budget(0.5, TrainedModel.given(model, TASK, recipe=RECIPE), split, method)
    Counting.counts.clear()
    affordable.method(copy.deepcopy(model), split, Run(TASK, recipe=RECIPE))
    share = Counting.counts["passed"] / (THERE_AND_BACK * RECIPE.epochs * len(split.kept))
    assert share == pytest.approx(affordable.share, rel=0.15)
    assert affordable.share <= 0.5


def test_half_the_budget_is_at_most_half_the_length_and_every_other_setting_stays(
    model: nn.Module, split: Split
) -> None:
    settled: Any = settle(AMUN(), split, Scale.of(RECIPE))
    long, short = (
        within_budget(share, TrainedModel.given(model, TASK, recipe=RECIPE), split, AMUN()).method
        for share in (0.4, 0.2)
    )
    assert 1 <= getattr(short, "epochs") <= getattr(long, "epochs") / 2 + 0.5  # noqa: B009
    for chosen in (long, short):
        assert getattr(chosen, "learning_rate") == settled.learning_rate  # noqa: B009
        assert getattr(chosen, "saliency") == settled.saliency  # noqa: B009


def test_the_same_request_has_the_same_length_and_the_model_is_not_touched(model: nn.Module, split: Split) -> None:
    before, hooks = weights_sha256(model), dict(model._forward_pre_hooks)
    first, second = (
        within_budget(0.3, TrainedModel.given(model, TASK, recipe=RECIPE), split, NablaTau(), seed=3) for _ in range(2)
    )
    assert first == second
    assert weights_sha256(model) == before
    assert dict(model._forward_pre_hooks) == hooks


def test_a_budget_below_the_shortest_run_is_refused_with_the_least_that_pays(model: nn.Module, split: Split) -> None:
    with pytest.raises(MethodError, match=r"shortest run of fine_tune here, about 5 % of a retraining, got 1 %"):
        within_budget(0.01, TrainedModel.given(model, TASK, recipe=RECIPE), split, FineTune())


@pytest.mark.parametrize("budget", [0.0, -0.1, 1.5, 15.0])
def test_a_budget_that_is_no_share_is_refused(budget: float, model: nn.Module, split: Split) -> None:
    with pytest.raises(MethodError, match=r"share of a retraining in \(0, 1\]"):
        within_budget(budget, TrainedModel.given(model, TASK, recipe=RECIPE), split, FineTune())


def test_a_method_without_epochs_has_no_budget(model: nn.Module, split: Split) -> None:
    with pytest.raises(MethodError, match="expected a method with epochs for a budget, got ssd"):
        within_budget(0.2, TrainedModel.given(model, TASK, recipe=RECIPE), split, SSD())


def test_without_retained_samples_their_number_says_what_a_retraining_costs(model: nn.Module, split: Split) -> None:
    method, alone = AMUN(), split.without_retain()
    with pytest.raises(MethodError, match="number of retained samples"):
        within_budget(0.1, TrainedModel.given(model, TASK, recipe=RECIPE), alone, method)
    cheap, dear = (
        within_budget(0.1, TrainedModel.given(model, TASK, recipe=RECIPE), alone, method, retained=count).method
        for count in (900, 450)
    )
    assert getattr(cheap, "epochs") > getattr(dear, "epochs")  # noqa: B009


def test_what_cannot_be_asked_is_refused_as_unlearn_does(model: nn.Module, split: Split) -> None:
    without = copy.copy(split)
    object.__setattr__(without, "holdout", None)
    with pytest.raises(MethodError, match="expected a holdout set for nabla_tau"):
        within_budget(0.2, TrainedModel.given(model, TASK, recipe=RECIPE), without, NablaTau())
