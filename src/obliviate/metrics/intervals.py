"""Confidence intervals for AUC, proportions and paired differences.

DeLong, DeLong & Clarke-Pearson (1988), in the O(n log n) form of Sun & Xu (2014); Clopper & Pearson (1934); two
one-sided tests (Schuirmann 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real
from scipy.stats import beta, norm, rankdata

from obliviate.errors import DataError

Scores = Real[np.ndarray, " _"]
ScorePair = tuple[Scores, Scores]


@dataclass(frozen=True)
class Interval:
    """A point estimate with its lower and upper confidence limits, in the unit of the estimate."""

    value: float
    low: float
    high: float


def placements(
    positive: Real[np.ndarray, " p"], negative: Real[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " n"]]:
    """Share of negatives below each positive, and of positives above each negative; ties count half.

    Midranks of Sun & Xu (2014), eq. 5-8. Both arrays lie in [0, 1] and have the AUC as their mean.
    Raises DataError for an empty or two-dimensional array and for NaN scores.

    >>> above, below = placements(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    >>> above.tolist(), below.tolist()
    ([0.75, 1.0], [1.0, 0.75])
    """
    _check_scores(positive, "positive")
    _check_scores(negative, "negative")
    p, n = len(positive), len(negative)
    midranks = rankdata(np.concatenate([positive, negative]))
    return (midranks[:p] - rankdata(positive)) / n, 1 - (midranks[p:] - rankdata(negative)) / p


def placement_variance(above: Float[np.ndarray, " p"], below: Float[np.ndarray, " n"]) -> float:
    """The sampling variance of an AUC, or of a difference of AUCs on one set of samples (DeLong et al. 1988, eq. 5).

    The arguments are placements, or differences of them.

    >>> round(placement_variance(np.array([0.75, 1.0]), np.array([1.0, 0.75])), 4)
    0.0312
    """
    return float(above.var(ddof=1)) / len(above) + float(below.var(ddof=1)) / len(below)


def auc(positive: Real[np.ndarray, " p"], negative: Real[np.ndarray, " n"]) -> float:
    """Probability that a random positive scores above a random negative, ties half (Mann-Whitney), in [0, 1].

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    return float(placements(positive, negative)[0].mean())


def delong(positive: Real[np.ndarray, " p"], negative: Real[np.ndarray, " n"], *, confidence: float = 0.95) -> Interval:
    """AUC with its DeLong interval (DeLong et al. 1988), as fractions clipped to [0, 1].

    The estimated variance is 0 under perfect separation, where the interval shrinks to a point.
    Raises DataError with fewer than two scores on a side.

    >>> interval = delong(np.array([2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    >>> round(interval.value, 4), round(interval.low, 4), interval.high
    (0.7778, 0.3704, 1.0)
    """
    return _from_placements(*placements(positive, negative), confidence, (0.0, 1.0))


def delong_difference(model: ScorePair, others: Sequence[ScorePair], *, confidence: float = 0.90) -> Interval:
    """AUC of one model minus the mean AUC of others on the same samples, with its paired DeLong interval, in [-1, 1].

    The variance is that of the per-sample differences of placement values, which equals the full DeLong covariance
    formula for this contrast (DeLong et al. 1988, eq. 5). It holds the models fixed: how far two retrained models lie
    apart because of their seeds is not in it. Each pair is (positive, negative).
    Raises DataError without others or when a pair scores another number of samples.

    >>> scores = (np.array([2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    >>> delong_difference(scores, [scores, scores])
    Interval(value=0.0, low=0.0, high=0.0)
    """
    if not others:
        raise DataError("expected at least 1 model to compare with, got 0; pass the scores of retrained models")
    sizes = [tuple(len(side) for side in pair) for pair in (model, *others)]
    if len(set(sizes)) > 1:
        raise DataError(f"expected every model scored on the same samples, got sizes {sizes}; score one set of samples")
    p, n = placements(*model)
    parts = [placements(*other) for other in others]
    p = p - np.mean([part[0] for part in parts], axis=0)
    n = n - np.mean([part[1] for part in parts], axis=0)
    return _from_placements(p, n, confidence, (-1.0, 1.0))


def mean_difference(
    model: Real[np.ndarray, " n"], others: Sequence[Real[np.ndarray, " n"]], *, confidence: float = 0.90
) -> Interval:
    """Mean of model - mean(others) over the same samples, with the paired normal interval, in the unit of the input.

    Raises DataError without others, with fewer than two samples, or for unequal lengths.

    >>> interval = mean_difference(np.array([1, 0, 1, 1]), [np.array([1, 0, 0, 1])], confidence=0.5)
    >>> interval.value, round(interval.low, 4), round(interval.high, 4)
    (0.25, 0.0814, 0.4186)
    """
    if not others or len(model) < 2 or any(len(other) != len(model) for other in others):
        raise DataError(
            f"expected >= 1 other model on the same >= 2 samples, got {len(model)} samples against "
            f"{[len(other) for other in others]}; score every model on one set of samples"
        )
    difference = np.asarray(model, np.float64) - np.mean([np.asarray(other, np.float64) for other in others], axis=0)
    return _normal(float(difference.mean()), float(difference.var(ddof=1)) / len(difference), confidence, None)


def balanced_accuracy(
    members: Real[np.ndarray, " p"],
    others: Real[np.ndarray, " n"],
    *,
    threshold: float = 0.0,
    confidence: float = 0.95,
) -> Interval:
    """Mean of the shares of members above and of others below a threshold, a fraction in [0, 1]; 0.5 is guessing.

    A score at the threshold counts half. The normal interval takes the scores as given: that an attack was fitted to
    part of the samples is not in it. It shrinks to a point where every sample is on its side.
    Raises DataError with fewer than two scores on a side and for NaN scores.

    >>> balanced_accuracy(np.array([1.0, 2.0, -1.0, 3.0]), np.array([-1.0, -2.0])).value
    0.875
    """
    _check_scores(members, "member")
    _check_scores(others, "non-member")
    above = np.heaviside(np.asarray(members, np.float64) - threshold, 0.5)
    below = np.heaviside(threshold - np.asarray(others, np.float64), 0.5)
    if min(len(above), len(below)) < 2:
        raise DataError(
            f"expected at least 2 scores on each side, got {len(above)} and {len(below)}; score more samples"
        )
    variance = float(above.var(ddof=1)) / len(above) + float(below.var(ddof=1)) / len(below)
    return _normal(float(above.mean() + below.mean()) / 2, variance / 4, confidence, (0.0, 1.0))


def clopper_pearson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Proportion of successes with its exact binomial interval (Clopper & Pearson 1934), as fractions in [0, 1].

    Raises DataError unless 0 <= successes <= trials and trials >= 1.

    >>> round(clopper_pearson(0, 10).high, 6)
    0.308497
    """
    _check_confidence(confidence)
    if not 0 <= successes <= trials or trials < 1:
        raise DataError(f"expected 0 <= successes <= trials and trials >= 1, got {successes} of {trials}; count again")
    tail = (1 - confidence) / 2
    failures = trials - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return Interval(successes / trials, low, high)


def tost(difference: Interval, margin: float) -> bool:
    """Whether two one-sided tests show equivalence: the interval lies strictly inside (-margin, margin).

    The test has level alpha when the interval has confidence 1 - 2 * alpha (Schuirmann 1987): 90 % for alpha = 5 %.

    >>> tost(Interval(0.0, -0.02, 0.02), margin=0.05), tost(Interval(0.0, -0.1, 0.1), margin=0.05)
    (True, False)
    """
    if not margin > 0:
        raise DataError(f"expected margin > 0, got {margin}; name the largest difference that does not matter")
    return -margin < difference.low and difference.high < margin


def _from_placements(
    p: Float[np.ndarray, " p"], n: Float[np.ndarray, " n"], confidence: float, limits: tuple[float, float]
) -> Interval:
    if min(len(p), len(n)) < 2:
        raise DataError(f"expected at least 2 scores on each side, got {len(p)} and {len(n)}; score more samples")
    return _normal(float(p.mean()), placement_variance(p, n), confidence, limits)


def _normal(value: float, variance: float, confidence: float, limits: tuple[float, float] | None) -> Interval:
    _check_confidence(confidence)
    half = float(norm.ppf((1 + confidence) / 2)) * variance**0.5
    floor, ceiling = limits or (-np.inf, np.inf)
    return Interval(value, float(max(value - half, floor)), float(min(value + half, ceiling)))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise DataError(f"expected a confidence in (0, 1), got {confidence}; write 95 % as 0.95")


def _check_scores(scores: np.ndarray, side: str) -> None:
    if scores.ndim != 1 or not scores.size:
        raise DataError(f"expected a non-empty vector of {side} scores, got shape {scores.shape}; score one set")
    if np.isnan(scores).any():
        raise DataError(f"expected {side} scores without NaN, got {int(np.isnan(scores).sum())}; drop or fix them")
