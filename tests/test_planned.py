"""Exact tests that were planned before training, on small models that learn their samples by heart."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest
from torch import nn

from obliviate import planned, workflow
from obliviate.data.coins import toss
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.methods.retrain import Retrain
from obliviate.metrics.utility import margin
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.workflow import Trained


@dataclass(frozen=True)
class Game:
    """Samples with coins, the original, and retrained models."""

    heads: Samples
    tails: Samples
    models: list[Trained]


@pytest.fixture(scope="module")
def game(noise: Samples, two_classes: Classification, by_heart: Recipe) -> Game:
    coins = toss(noise.ids, 120, seed=0)
    split = Split.of(noise.without(coins.tails), forget=coins.heads)
    original = workflow.train(by_heart, noise.without(coins.tails), two_classes)
    retrained = [
        workflow.unlearn(original.model, split, Retrain(), two_classes, recipe=by_heart, seed=one) for one in (1, 2, 3)
    ]
    return Game(noise.select(coins.heads), noise.select(coins.tails), [original, *retrained])


def test_the_original_is_rejected_and_retrained_models_are_not(game: Game) -> None:
    found = planned.coin_flips(game.models, game.heads, game.tails)
    original, *retrained = found.models
    assert original.p_value < 1e-6
    assert original.accuracy > 70
    assert all(one.p_value > 0.01 for one in retrained)
    assert [one.name for one in found.models] == ["original", *(f"Retrain (seed {seed})" for seed in (1, 2, 3))]
    assert (found.heads, found.tails) == (len(game.heads), len(game.tails))
    assert found.power == pytest.approx(binomtest_power(120), abs=1e-9)


def binomtest_power(m: int) -> float:
    rejected = [k for k in range(m + 1) if binomtest(k, m, 0.5, alternative="greater").pvalue <= 0.05]
    return float(sum(binom.pmf(k, m, 0.55) for k in rejected))


def test_figures_are_those_of_guesses_above_the_median_of_the_calibrated_margin(game: Game) -> None:
    samples = game.heads.joined(game.tails)
    y = samples.everything().y.numpy()
    margins = [margin(outputs(one.model, samples).numpy(), y) for one in game.models]
    truth = np.array([True] * len(game.heads) + [False] * len(game.tails))
    for place, one in enumerate(planned.coin_flips(game.models, game.heads, game.tails).models):
        others = [margins[other] for other in (1, 2, 3) if other != place]
        score = margins[place] - np.mean(others, axis=0)
        correct = int(((score > np.median(score)) == truth).sum())
        exact = binomtest(correct, 120, 0.5, alternative="greater").pvalue
        assert (one.trials, one.correct, one.calibrated) == (120, correct, True)
        assert one.p_value == pytest.approx(exact)
        assert one.accuracy == pytest.approx(100 * correct / 120)
        assert one.low < one.accuracy < one.high


def test_without_retrained_models_the_margin_itself_is_the_score(game: Game) -> None:
    (alone,) = planned.coin_flips(game.models[:1], game.heads, game.tails).models
    assert not alone.calibrated
    assert alone.p_value < 1e-6


def test_p_values_of_models_that_know_nothing_are_valid(noise: Samples, by_heart: Recipe) -> None:
    """Untrained models stand for models that do not depend on the coins; these are tossed many times."""
    models = [Trained.given(by_heart.build(seed=seed), name=f"{seed}") for seed in range(3)]
    values = []
    for seed in range(100):
        coins = toss(noise.ids, 100, seed)
        heads, tails = noise.select(coins.heads), noise.select(coins.tails)
        values += [one.p_value for one in planned.coin_flips(models, heads, tails).models]
    assert np.mean(np.array(values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_samples_on_both_sides_are_refused(game: Game) -> None:
    with pytest.raises(DataError, match="expected every coin to fall on one side, got "):
        planned.coin_flips(game.models, game.heads, game.heads)


# ------------------------------------------------------------------------------------------- planted noise


def test_planted_noise_is_known_by_the_original_and_not_by_a_retrained_model(
    noise: Samples, two_classes: Classification, by_heart: Recipe
) -> None:
    clean = noise.select(noise.ids[:100])
    noisy, xi = planned.plant(clean, sigma=0.5, seed=0)
    train = noise.without(clean.ids).joined(noisy)
    original = workflow.train(by_heart, train, two_classes)
    split = Split.of(train, forget=clean.ids)
    retrained = workflow.unlearn(original.model, split, Retrain(), two_classes, recipe=by_heart, seed=1)
    before = weights_sha256(original.model)
    found = planned.noise_test(original.model, clean, xi, two_classes, sigma=0.5)
    assert found.p_value < 1e-3
    assert planned.noise_test(retrained.model, clean, xi, two_classes, sigma=0.5).p_value > 0.05
    assert weights_sha256(original.model) == before


def test_every_model_is_tested_and_one_without_a_gradient_is_named(
    noise: Samples, two_classes: Classification, by_heart: Recipe
) -> None:
    clean = noise.select(noise.ids[:20])
    _, xi = planned.plant(clean, sigma=0.5, seed=0)
    flat = nn.Linear(30, 2)
    nn.init.zeros_(flat.weight)
    models = [Trained.given(by_heart.build(seed=1), name="whole"), Trained.given(flat, name="flat", role="unlearned")]
    found = planned.planted_noise(models, clean, xi, two_classes, sigma=0.5)
    alone = planned.noise_test(models[0].model, clean, xi, two_classes, sigma=0.5)
    (one,) = found.models
    assert (one.name, one.role, one.mean, one.z, one.p_value) == (
        *("whole", "original"),
        *(alone.mean, alone.z, alone.p_value),
    )
    assert (found.samples, found.sigma, found.detectable) == (20, 0.5, alone.detectable)
    assert found.notes[0].startswith("flat was not tested for planted noise: expected gradients that are not 0, got 20")
    assert [model.model_dump() for model in found.models] == [{"name": "whole", "role": "original", **_figures(one)}]


def _figures(one: planned.NoiseFound) -> dict[str, float]:
    return {"mean": one.mean, "z": one.z, "p_value": one.p_value}


@pytest.mark.parametrize("n", [0, 6])
def test_noise_for_no_sample_or_for_all_is_refused(n: int) -> None:
    with pytest.raises(DataError, match=f"expected noise for 1 sample or more and fewer than all 6, got {n}"):
        planned.noisy_ids(np.array(list("abcdef")), n, seed=0)


def test_the_gradient_has_the_direction_of_that_of_the_loss(noise: Samples, two_classes: Classification) -> None:
    """For a linear model and two classes it is that of a difference of two rows, signed by the label."""
    torch.manual_seed(0)
    model = nn.Linear(30, 2)
    clean = noise.select(noise.ids[:50])
    _, xi = planned.plant(clean, sigma=0.3, seed=1)
    row = (model.weight[1] - model.weight[0]).detach()
    sign = 2 * clean.everything().y - 1
    expected = sign * (xi @ row) / (0.3 * row.norm())
    found = planned.noise_test(model, clean, xi, two_classes, sigma=0.3)
    assert found.mean == pytest.approx(float(expected.mean()), abs=1e-5)


def test_planted_noise_is_a_function_of_the_seed_and_of_its_scale(noise: Samples) -> None:
    noisy, xi = planned.plant(noise, sigma=0.2, seed=3)
    assert torch.equal(noisy.everything().x, noise.everything().x + xi)
    assert torch.equal(xi, planned.plant(noise, sigma=0.2, seed=3)[1])
    assert not torch.equal(xi, planned.plant(noise, sigma=0.2, seed=4)[1])
    assert float(xi.std()) == pytest.approx(0.2, rel=0.05)
    for sigma in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="expected sigma > 0 and floating-point inputs"):
            planned.plant(noise, sigma=sigma, seed=0)


def test_recipes_of_these_tests_learn_by_heart(game: Game) -> None:
    labels = game.heads.everything().y
    assert bool((outputs(game.models[0].model, game.heads).argmax(1) == labels).all())
