"""The exact test by coins, on small models that learn their samples by heart."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from obliviate import workflow
from obliviate.canaries.coin_flips import coin_flips
from obliviate.canaries.coins import toss
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.experiment import Experiment
from obliviate.methods.retrain import Retrain
from obliviate.metrics.utility import margin
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel


@dataclass(frozen=True)
class Game:
    """Samples with coins, the original, and retrained models."""

    heads: Samples
    tails: Samples
    models: list[TrainedModel]


@pytest.fixture(scope="module")
def game(noise: Samples, two_classes: Classification, by_heart: Recipe) -> Game:
    coins = toss(noise.ids, 120, seed=0)
    split = Split.of(noise.without(coins.tails), forget=coins.heads)
    original = workflow.train(Experiment(two_classes, by_heart, noise.without(coins.tails)))
    retrained = [workflow.unlearn(original, split, Retrain(), seed=seed) for seed in (1, 2, 3)]
    return Game(noise.select(coins.heads), noise.select(coins.tails), [original, *retrained])


def test_the_original_is_rejected_and_retrained_models_are_not(game: Game) -> None:
    flips = coin_flips(game.models, game.heads, game.tails)
    original, *retrained = flips.models
    assert original.p_value < 1e-6
    assert original.accuracy > 70
    assert all(model.p_value > 0.01 for model in retrained)
    assert [model.name for model in flips.models] == ["original", *(f"Retrain (seed {seed})" for seed in (1, 2, 3))]
    assert (flips.heads, flips.tails) == (len(game.heads), len(game.tails))
    assert flips.power == pytest.approx(binomtest_power(120), abs=1e-9)


def binomtest_power(m: int) -> float:
    rejected = [k for k in range(m + 1) if binomtest(k, m, 0.5, alternative="greater").pvalue <= 0.05]
    return float(sum(binom.pmf(k, m, 0.55) for k in rejected))


def test_figures_are_those_of_guesses_above_the_median_of_the_calibrated_margin(game: Game) -> None:
    samples = game.heads.joined(game.tails)
    y = samples.everything().y.numpy()
    margins = [margin(outputs(model.model, samples).numpy(), y) for model in game.models]
    truth = np.array([True] * len(game.heads) + [False] * len(game.tails))
    for place, model in enumerate(coin_flips(game.models, game.heads, game.tails).models):
        others = [margins[other] for other in (1, 2, 3) if other != place]
        score = margins[place] - np.mean(others, axis=0)
        correct = int(((score > np.median(score)) == truth).sum())
        exact = binomtest(correct, 120, 0.5, alternative="greater").pvalue
        assert (model.trials, model.correct, model.calibrated) == (120, correct, True)
        assert model.p_value == pytest.approx(exact)
        assert model.accuracy == pytest.approx(100 * correct / 120)
        assert model.low < model.accuracy < model.high


def test_without_retrained_models_the_margin_itself_is_the_score(game: Game) -> None:
    (alone,) = coin_flips(game.models[:1], game.heads, game.tails).models
    assert not alone.calibrated
    assert alone.p_value < 1e-6


def test_p_values_of_models_that_know_nothing_are_valid(
    noise: Samples, two_classes: Classification, by_heart: Recipe
) -> None:
    """Untrained models stand for models that do not depend on the coins; these are tossed many times."""
    models = [TrainedModel.given(by_heart.build(seed=seed), two_classes, name=f"{seed}") for seed in range(3)]
    values = []
    for seed in range(100):
        coins = toss(noise.ids, 100, seed)
        heads, tails = noise.select(coins.heads), noise.select(coins.tails)
        values += [model.p_value for model in coin_flips(models, heads, tails).models]
    assert np.mean(np.array(values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_samples_on_both_sides_are_refused(game: Game) -> None:
    with pytest.raises(DataError, match="expected every coin to fall on one side, got "):
        coin_flips(game.models, game.heads, game.heads)


def test_recipes_of_these_tests_learn_by_heart(game: Game) -> None:
    labels = game.heads.everything().y
    assert bool((outputs(game.models[0].model, game.heads).argmax(1) == labels).all())
