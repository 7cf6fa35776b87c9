"""Models that should be fresh: none may know yet what it is to be trained on, or never to be."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import mannwhitneyu
from torch import nn

from obliviate._util.modes import evaluating
from obliviate._util.seeds import derive
from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

LEAST: Final = 20  # samples of either kind
MOST: Final = 2000
FIRST: Final = 200  # samples that are enough to say that a model knows nothing
BATCH: Final = 100
LEVEL: Final = 1e-3
AUC: Final = 0.55
RATE: Final = 0.05
SHARE: Final = 0.75
BUILDS: Final = 8


def check_fresh(
    recipe: Recipe, known: Samples, unseen: Samples, task: Task, *, seed: int = 0, what: str = "the training samples"
) -> None:
    """Refuse a recipe whose models know samples before any training, as those of one that loads a trained checkpoint.

    `known` are samples that some model was trained on, such as those to forget, which `what` calls by their name;
    `unseen` are others. A model that was built this moment fails when

    * it knows the targets of the known samples: its mean loss on them is at most three quarters of that on the same
      targets in another order. For a model that knows nothing both are the same, whatever classes are frequent; and
    * its losses on the known samples are lower than on the unseen ones (Mann and Whitney 1947, one-sided, p < 0.001),
      by a size that matters: an AUC of 0.55, or five points more of them right.

    A recipe is refused when models of eight seeds fail: a lucky draw of weights does not come that often. The first
    condition acquits fresh models where unseen samples are of another kind, such as of a later year, and those of a
    pretrained backbone with a new head; the second acquits whole pretrained models that have seen neither. Where there
    are fewer than 20 samples of either, or the known ones have one target only, nothing can be told.

    Raises RecipeError.

    >>> from obliviate.task import Classification
    >>> samples = Samples.from_tensors(torch.rand(60, 4), torch.arange(60) % 2)
    >>> known, unseen = samples.select(samples.ids[:30]), samples.select(samples.ids[30:])
    >>> recipe = Recipe(model="mlp", model_options={"features": 4, "classes": 2})
    >>> check_fresh(recipe, known, unseen, Classification(classes=2))
    """
    if min(len(known), len(unseen)) < LEAST:
        return
    known, unseen = spread(known, MOST), spread(unseen, MOST)
    rates: tuple[float, float] | None = None
    for build in range(BUILDS):
        model = Run(task, seed=derive(seed, "fresh", build) if build else seed, recipe=recipe).fresh_model()
        if not knows(model, spread(known, FIRST), task) or (rates := better(model, known, unseen, task)) is None:
            return
    assert rates is not None
    raise RecipeError(
        "expected a builder whose models do not know the training set, got one whose fresh models get "
        f"{100 * rates[0]:.1f} % of {what} right and {100 * rates[1]:.1f} % of unseen ones ({recipe.model_name}); it "
        "loads a trained checkpoint: build new weights"
    )


def spread(samples: Samples, most: int) -> Samples:
    """At most so many of the samples, evenly spread."""
    return samples if len(samples) <= most else samples.select(samples.ids[:: -(-len(samples) // most)])


def knows(model: nn.Module, samples: Samples, task: Task, *, share: float = SHARE) -> bool:
    """Whether a model knows the targets: its mean loss is at most a share of that on the same targets shuffled."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)).numpy()
    device, loss, shuffled_loss = next(model.parameters()).device, 0.0, 0.0
    pairs = zip(Batches(samples, BATCH), Batches(samples.select(samples.ids[order]), BATCH), strict=True)
    with torch.no_grad(), evaluating(model):
        for batch, shuffled in pairs:
            output = task.ask(model, batch.x.to(device)).float()
            loss += float(task.nll(output, batch.y.to(device)).double().sum())
            shuffled_loss += float(task.nll(output, shuffled.y.to(device)).double().sum())
    return loss <= share * shuffled_loss


def better(model: nn.Module, known: Samples, unseen: Samples, task: Task) -> tuple[float, float] | None:
    """Which shares of known and of unseen samples are right, if the known ones fare better beyond doubt."""
    (low, right), (high, wrong) = fares(model, known, task), fares(model, unseen, task)
    test = mannwhitneyu(high, low, alternative="greater")
    area, rates = float(test.statistic) / (len(low) * len(high)), (float(right.mean()), float(wrong.mean()))
    return rates if test.pvalue < LEVEL and (area >= AUC or rates[0] - rates[1] >= RATE) else None


def fares(model: nn.Module, samples: Samples, task: Task) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The loss of every sample, and whether it is right."""
    device, losses, right = next(model.parameters()).device, [], []
    with torch.no_grad(), evaluating(model):
        for batch in (batch.to(device) for batch in Batches(samples, BATCH)):
            output = task.ask(model, batch.x).float()
            losses.append(task.nll(output, batch.y).double().cpu())
            right.append(task.correct(output, batch.y).double().cpu())
    return torch.cat(losses).numpy(), torch.cat(right).numpy()
