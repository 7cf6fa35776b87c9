"""Planted noise and its exact test, on small models that learn their samples by heart."""

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.canaries import noise as canaries
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.experiment import Experiment
from obliviate.methods.retrain import Retrain
from obliviate.results.canaries import NoiseFound
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel


def test_planted_noise_is_known_by_the_original_and_not_by_a_retrained_model(
    noise: Samples, two_classes: Classification, by_heart: Recipe
) -> None:
    clean = noise.select(noise.ids[:100])
    noisy, xi = canaries.plant(clean, sigma=0.5, seed=0)
    train = noise.without(clean.ids).joined(noisy)
    original = workflow.train(Experiment(two_classes, by_heart, train))
    split = Split.of(train, forget=clean.ids)
    retrained = workflow.unlearn(original, split, Retrain(), seed=1)
    before = weights_sha256(original.model)
    result = canaries.noise_test(original.model, clean, xi, two_classes, sigma=0.5)
    assert result.p_value < 1e-3
    assert canaries.noise_test(retrained.model, clean, xi, two_classes, sigma=0.5).p_value > 0.05
    assert weights_sha256(original.model) == before


def test_every_model_is_tested_and_one_without_a_gradient_is_named(
    noise: Samples, two_classes: Classification, by_heart: Recipe
) -> None:
    clean = noise.select(noise.ids[:20])
    _, xi = canaries.plant(clean, sigma=0.5, seed=0)
    flat = nn.Linear(30, 2)
    nn.init.zeros_(flat.weight)
    models = [
        TrainedModel.given(by_heart.build(seed=1), two_classes, name="whole"),
        TrainedModel.given(flat, two_classes, name="flat", role="unlearned"),
    ]
    result = canaries.planted_noise(models, clean, xi, two_classes, sigma=0.5)
    alone = canaries.noise_test(models[0].model, clean, xi, two_classes, sigma=0.5)
    (of_model,) = result.models
    assert (of_model.name, of_model.role, of_model.mean, of_model.z, of_model.p_value) == (
        *("whole", "original"),
        *(alone.mean, alone.z, alone.p_value),
    )
    assert (result.samples, result.sigma, result.detectable) == (20, 0.5, alone.detectable)
    assert result.notes[0].startswith(
        "flat was not tested for planted noise: expected gradients that are not 0, got 20"
    )
    assert [model.model_dump() for model in result.models] == [
        {"name": "whole", "role": "original", **_figures(of_model)}
    ]


def _figures(result: NoiseFound) -> dict[str, float]:
    return {"mean": result.mean, "z": result.z, "p_value": result.p_value}


@pytest.mark.parametrize("n", [0, 6])
def test_noise_for_no_sample_or_for_all_is_refused(n: int) -> None:
    with pytest.raises(DataError, match=f"expected noise for 1 sample or more and fewer than all 6, got {n}"):
        canaries.noisy_ids(np.array(list("abcdef")), n, seed=0)


def test_the_gradient_has_the_direction_of_that_of_the_loss(noise: Samples, two_classes: Classification) -> None:
    """For a linear model and two classes it is that of a difference of two rows, signed by the label."""
    torch.manual_seed(0)
    model = nn.Linear(30, 2)
    clean = noise.select(noise.ids[:50])
    _, xi = canaries.plant(clean, sigma=0.3, seed=1)
    row = (model.weight[1] - model.weight[0]).detach()
    sign = 2 * clean.everything().y - 1
    expected = sign * (xi @ row) / (0.3 * row.norm())
    result = canaries.noise_test(model, clean, xi, two_classes, sigma=0.3)
    assert result.mean == pytest.approx(float(expected.mean()), abs=1e-5)


def test_planted_noise_is_a_function_of_the_seed_and_of_its_scale(noise: Samples) -> None:
    noisy, xi = canaries.plant(noise, sigma=0.2, seed=3)
    assert torch.equal(noisy.everything().x, noise.everything().x + xi)
    assert torch.equal(xi, canaries.plant(noise, sigma=0.2, seed=3)[1])
    assert not torch.equal(xi, canaries.plant(noise, sigma=0.2, seed=4)[1])
    assert float(xi.std()) == pytest.approx(0.2, rel=0.05)
    for sigma in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="expected sigma > 0 and floating-point inputs"):
            canaries.plant(noise, sigma=sigma, seed=0)
