"""Models that look like others and are not: what stops them, before any training where it can."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.experiment import Experiment
from obliviate.task import Classification
from obliviate.training.recipe import Recipe

Answer = Callable[[Tensor], Tensor]


class Odd(nn.Module):
    """A linear layer, and what is made of its answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.layer, self.answer = nn.Linear(6, 3), answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.layer(x))


def experiment(tiny: Samples, build: Callable[[], nn.Module]) -> Experiment:
    train, test = tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:])
    return Experiment(Classification(classes=3), Recipe(model=build, epochs=1, batch_size=8), train, test)


def test_an_answer_that_cannot_be_learned_from_is_refused(tiny: Samples) -> None:
    with pytest.raises(RecipeError, match="a loss that depends on the weights of Odd, got a loss without a gradient"):
        workflow.train(experiment(tiny, lambda: Odd(lambda z: z.detach())))


def test_numbers_in_the_unit_interval_may_be_logits(tiny: Samples) -> None:
    assert workflow.train(experiment(tiny, lambda: Odd(lambda z: z.clamp(0, 1)))).role == "original"


def test_layers_without_a_shape_are_refused_by_name(tiny: Samples) -> None:
    with pytest.raises(RecipeError, match="got Sequential with lazy ones; call it once on a batch where it is built"):
        workflow.train(experiment(tiny, lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(3))))
