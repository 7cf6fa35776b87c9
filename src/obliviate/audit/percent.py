"""Intervals and rates as results hold them: in percent."""

from __future__ import annotations

import numpy as np

from obliviate.audit.baseline import Pair
from obliviate.metrics import intervals
from obliviate.metrics.intervals import clopper_pearson, mean_difference
from obliviate.metrics.rates import tpr_at_fpr
from obliviate.results.attacks import Rate
from obliviate.results.values import Interval


def percent(interval: intervals.Interval) -> Interval:
    """A share and its limits in percent."""
    return Interval(value=100 * interval.value, low=100 * interval.low, high=100 * interval.high)


def share(right: np.ndarray, confidence: float) -> intervals.Interval:
    """The mean share right: of samples that are right or wrong with its exact interval, else with the normal one."""
    if ((right == 0) | (right == 1)).all():
        return clopper_pearson(int(right.sum()), len(right), confidence=confidence)
    interval = mean_difference(right, [np.zeros(len(right))], confidence=confidence)
    return intervals.Interval(interval.value, max(interval.low, 0.0), min(interval.high, 1.0))


def rate(pair: Pair, fpr: float) -> Rate:
    """The true-positive rate at a false-positive rate, in percent, or how many samples would tell."""
    resolved = tpr_at_fpr(*pair, fpr)
    return Rate(
        fpr=100 * fpr,
        unseen_needed=resolved.negatives_needed,
        tpr=None if resolved.tpr is None else percent(resolved.tpr),
        realised_fpr=None if resolved.realised_fpr is None else percent(resolved.realised_fpr),
    )
