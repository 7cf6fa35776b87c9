"""Noise that is planted in samples before training, and the exact test of one model for it, without a retrained one."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate._util.seeds import derive
from obliviate.canaries import gradient_noise
from obliviate.canaries.gradient_noise import NoiseTest
from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.errors import DataError
from obliviate.results.canaries import NoiseFound, PlantedNoise
from obliviate.task import Task
from obliviate.training.compute import Compute
from obliviate.workflow import TrainedModel


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

    >>> from obliviate.task import Classification
    >>> samples = Samples.from_tensors(torch.rand(40, 4), torch.arange(40) % 2)
    >>> _, noise = plant(samples, sigma=0.1, seed=0)
    >>> test = noise_test(nn.Linear(4, 2), samples, noise, Classification(classes=2), sigma=0.1)
    >>> abs(test.z) < 4  # this model was never trained on it
    True
    """
    private = copy.deepcopy(model)
    device = next(private.parameters()).device
    gradients = []
    with evaluating(private), torch.enable_grad():
        for batch in Batches(samples, Compute.current().evaluation_batch):
            x = batch.x.to(device).detach().clone().requires_grad_()
            score = task.score(task.ask(private, x).float(), batch.y.to(device)).sum()
            gradients.append(-torch.autograd.grad(score, x)[0].cpu())
    scores = gradient_noise.scores(noise.cpu().numpy(), torch.cat(gradients).numpy(), sigma=sigma)
    return gradient_noise.z_test(scores)


def planted_noise(
    models: Sequence[TrainedModel], clean: Samples, noise: Float[Tensor, " n ..."], task: Task, *, sigma: float
) -> PlantedNoise:
    """Test every model for the noise of `plant` (see `noise_test`); a note names each whose gradient is 0 somewhere.

    The p-value of a model that never saw the noise is uniform, exactly, whatever the model. Raises DataError where
    samples, noise and scale do not fit together.

    >>> from obliviate.task import Classification
    >>> samples = Samples.from_tensors(torch.rand(40, 4), torch.arange(40) % 2)
    >>> _, noise = plant(samples, sigma=0.1, seed=0)
    >>> models = [TrainedModel.given(nn.Linear(4, 2), Classification(classes=2), name="mine")]
    >>> planted_noise(models, samples, noise, Classification(classes=2), sigma=0.1).samples
    40
    """
    tests, notes = [], []
    for model in models:
        try:
            test = noise_test(model.model, clean, noise, task, sigma=sigma)
        except DataError as error:
            notes.append(f"{model.label} was not tested for planted noise: {error}")
            continue
        tests.append(NoiseFound(name=model.label, role=model.role, mean=test.mean, z=test.z, p_value=test.p_value))
    return PlantedNoise(
        samples=len(clean),
        sigma=sigma,
        detectable=gradient_noise.detectable(len(clean)),
        models=tuple(tests),
        notes=tuple(notes),
    )
