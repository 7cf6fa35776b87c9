"""The exact test of models by coins that were tossed before training (`canaries.coins`), without a retrained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from obliviate.data.ids import shown
from obliviate.data.samples import Samples
from obliviate.errors import DataError
from obliviate.metrics.rates import coin_flip_power, coin_flip_test, coin_guesses
from obliviate.metrics.utility import margin
from obliviate.results.canaries import CoinFlips, CoinTest
from obliviate.training.inference import outputs
from obliviate.workflow import TrainedModel

DETECTED_ACCURACY: Final = 0.55  # accuracy of guesses at which the power is told


def coin_flips(models: Sequence[TrainedModel], heads: Samples, tails: Samples) -> CoinFlips:
    """Guess for each model which of the samples with coins it was trained on, and test the guesses exactly.

    Of `coins.toss`, `heads` were trained on and then forgotten, `tails` never seen. A sample is guessed to be of
    the heads if its score is above the median. The score is the margin φ, less its mean over the retrained models
    (other than the model itself) where there are any: they know nothing of the coins either, but how hard a sample is
    (difficulty calibration, Watson et al. 2022, arXiv 2111.08440). Under exact retraining, the number of correct
    guesses is Bin(m, 1/2), whatever the data and the score. The models must be of the same forget set, the heads.
    Raises DataError for samples in both.

    >>> import torch
    >>> from torch import nn
    >>> from obliviate.task import Classification
    >>> heads, tails = (Samples.from_tensors(torch.rand(20, 4), torch.arange(20) % 2) for _ in range(2))
    >>> flips = coin_flips([TrainedModel.given(nn.Linear(4, 2), Classification(classes=2), name="mine")], heads, tails)
    >>> flips.heads, flips.models[0].trials
    (20, 40)
    """
    if len(shared := np.intersect1d(heads.ids, tails.ids)):
        raise DataError(f"expected every coin to fall on one side, got {shown(shared)} on both; toss them once")
    samples = heads.joined(tails)
    labels = samples.everything().y.cpu().numpy()
    trained = np.arange(len(samples)) < len(heads)
    margins = [margin(outputs(model.model, samples).numpy(), labels) for model in models]
    retrained = [place for place, model in enumerate(models) if model.role == "retrained"]
    tests = []
    for place, model in enumerate(models):
        others = [margins[other] for other in retrained if other != place]
        scores = margins[place] - np.mean(others, axis=0) if others else margins[place]
        correct = int((coin_guesses(scores) == trained).sum())
        test = coin_flip_test(correct, len(samples))
        tests.append(
            CoinTest(
                name=model.label,
                role=model.role,
                trials=len(samples),
                correct=correct,
                accuracy=100 * test.accuracy.value,
                low=100 * test.accuracy.low,
                high=100 * test.accuracy.high,
                p_value=test.p_value,
                calibrated=bool(others),
            )
        )
    power = coin_flip_power(len(samples), DETECTED_ACCURACY)
    return CoinFlips(heads=len(heads), tails=len(tails), power=power, models=tuple(tests))
