"""Tests that are exact for one unlearned model, without a retrained one, because they were planned before training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from obliviate.attacks.membership import gradient_noise
from obliviate.attacks.membership.gradient_noise import NoiseTest
from obliviate.data.ids import shown
from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.errors import DataError
from obliviate.metrics.rates import coin_flip_power, coin_flip_test, coin_guesses
from obliviate.metrics.utility import margin
from obliviate.modes import evaluating
from obliviate.results.schema import CoinFlips, CoinTest, NoiseFound, PlantedNoise
from obliviate.seeds import derive
from obliviate.task import Task
from obliviate.training.compute import Compute
from obliviate.training.inference import outputs
from obliviate.workflow import Trained

FOUND: Final = 0.55  # accuracy of guesses at which the power is told


def coin_flips(models: Sequence[Trained], heads: Samples, tails: Samples) -> CoinFlips:
    """Guess for each model which of the samples with coins it was trained on, and test the guesses exactly.

    Of `data.coins.toss`, `heads` were trained on and then forgotten, `tails` never seen. A sample is guessed to be of
    the heads if its score is above the median. The score is the margin φ, less its mean over the retrained models
    (other than the model itself) where there are any: they know nothing of the coins either, but how hard a sample is
    (difficulty calibration, Watson et al. 2022, arXiv 2111.08440). Under exact retraining, the number of correct
    guesses is Bin(m, 1/2), whatever the data and the score. The models must be of the same forget set, the heads.
    Raises DataError for samples in both.
    """
    if len(shared := np.intersect1d(heads.ids, tails.ids)):
        raise DataError(f"expected every coin to fall on one side, got {shown(shared)} on both; toss them once")
    samples = heads.joined(tails)
    labels = samples.everything().y.cpu().numpy()
    trained = np.arange(len(samples)) < len(heads)
    margins = [margin(outputs(one.model, samples).numpy(), labels) for one in models]
    retrained = [place for place, one in enumerate(models) if one.role == "retrained"]
    found = []
    for place, one in enumerate(models):
        others = [margins[other] for other in retrained if other != place]
        scores = margins[place] - np.mean(others, axis=0) if others else margins[place]
        correct = int((coin_guesses(scores) == trained).sum())
        test = coin_flip_test(correct, len(samples))
        found.append(
            CoinTest(
                name=one.label,
                role=one.role,
                trials=len(samples),
                correct=correct,
                accuracy=100 * test.accuracy.value,
                low=100 * test.accuracy.low,
                high=100 * test.accuracy.high,
                p_value=test.p_value,
                calibrated=bool(others),
            )
        )
    power = coin_flip_power(len(samples), FOUND)
    return CoinFlips(heads=len(heads), tails=len(tails), power=power, models=tuple(found))


def noisy_ids(ids: Shaped[np.ndarray, " all"], n: int, *, seed: int) -> Shaped[np.ndarray, " {n}"]:
    """Draw `n` of these ids at random, to be planted with noise, in their order; a function of the seed.

    Raises DataError unless 1 <= n < the number of ids.

    >>> noisy_ids(np.array(list("abcdef")), 6 - 1, seed=0).shape
    (5,)
    """
    if not 1 <= n < len(ids):
        raise DataError(
            f"expected noise for 1 sample or more and fewer than all {len(ids)}, got {n}; 500 find a mean score of 0.11"
        )
    generator = np.random.default_rng(derive(seed, "noisy"))
    return ids[np.sort(generator.choice(len(ids), size=n, replace=False))]


def plant(samples: Samples, *, sigma: float, seed: int) -> tuple[Samples, Float[Tensor, " n ..."]]:
    """Add noise ~ N(0, sigma²) to the inputs of samples, to be trained on and forgotten; also return the noise.

    The sum is not clipped: what is clipped is no longer normal. A function of the seed. Raises DataError for
    sigma <= 0 and inputs that are not floating-point numbers.

    >>> samples = Samples.from_tensors(torch.zeros(3, 4), torch.tensor([0, 1, 1]), ids=["a", "b", "c"])
    >>> noisy, noise = plant(samples, sigma=0.1, seed=0)
    >>> noisy.everything().x.equal(noise), noisy.ids.tolist()
    (True, ['a', 'b', 'c'])
    """
    batch = samples.everything()
    if not sigma > 0 or not batch.x.is_floating_point():
        raise DataError(f"expected sigma > 0 and floating-point inputs, got {sigma} and {batch.x.dtype}; convert them")
    generator = torch.Generator().manual_seed(derive(seed, "noise"))
    noise = sigma * torch.randn(batch.x.shape, generator=generator, dtype=batch.x.dtype)
    return Samples.from_tensors(batch.x + noise.to(batch.x.device), batch.y, ids=samples.ids), noise


def noise_test(
    model: nn.Module, samples: Samples, noise: Float[Tensor, " n ..."], task: Task, *, sigma: float
) -> NoiseTest:
    """Test whether a model still knows noise that was added to samples before training (arXiv 2406.17216).

    `samples` are the clean ones, in the order of `noise` (see `plant`); the gradient of the loss is taken there. For
    a loss that falls as `task.score` rises, such as cross-entropy, its direction is that of the score's, which does not
    vanish where the loss does, so that the score is used. The model is not changed. Raises DataError as
    `gradient_noise.scores` does.
    """
    private = copy.deepcopy(model)
    device = next(private.parameters()).device
    gradients = []
    with evaluating(private), torch.enable_grad():
        for batch in Batches(samples, Compute.current().evaluation_batch):
            x = batch.x.to(device).detach().clone().requires_grad_()
            score = task.score(private(x).float(), batch.y.to(device)).sum()
            gradients.append(-torch.autograd.grad(score, x)[0].cpu())
    found = gradient_noise.scores(noise.cpu().numpy(), torch.cat(gradients).numpy(), sigma=sigma)
    return gradient_noise.z_test(found)


def planted_noise(
    models: Sequence[Trained], clean: Samples, noise: Float[Tensor, " n ..."], task: Task, *, sigma: float
) -> PlantedNoise:
    """Test every model for the noise of `plant` (see `noise_test`); a note names each whose gradient is 0 somewhere.

    The p-value of a model that never saw the noise is uniform, exactly, whatever the model. Raises DataError where
    samples, noise and scale do not fit together.
    """
    found, notes = [], []
    for one in models:
        try:
            test = noise_test(one.model, clean, noise, task, sigma=sigma)
        except DataError as error:
            notes.append(f"{one.label} was not tested for planted noise: {error}")
            continue
        found.append(NoiseFound(name=one.label, role=one.role, mean=test.mean, z=test.z, p_value=test.p_value))
    return PlantedNoise(
        samples=len(clean),
        sigma=sigma,
        detectable=gradient_noise.detectable(len(clean)),
        models=tuple(found),
        notes=tuple(notes),
    )
