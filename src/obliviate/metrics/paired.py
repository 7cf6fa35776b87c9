"""One-sided tests of whether the same samples fare worse after something than before it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Real
from scipy.stats import binom, norm

from obliviate.errors import DataError


def fell(before: Bool[np.ndarray, " n"], after: Bool[np.ndarray, " n"]) -> float:
    """p-value of McNemar's exact test that fewer samples are right after than before.

    Of the samples whose answer changed, each is as likely to have become right as wrong if nothing got worse, so that
    the number that became wrong is Bin(changed, 1/2). McNemar, Psychometrika 1947.
    Raises DataError for unequal lengths.

    >>> fell(np.array([True] * 7 + [False]), np.array([False] * 7 + [False]))
    0.0078125
    """
    _check(before, after)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return float(binom.sf(lost - 1, lost + won, 0.5))


def rose(before: Real[np.ndarray, " n"], after: Real[np.ndarray, " n"]) -> float:
    """p-value of the paired normal test that the mean is higher after than before, as of losses.

    Where every sample changed by the same it is 0 for a rise and 1 for none; 1 for a single sample. Raises DataError
    for unequal lengths.

    >>> round(rose(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 3.5, 5.0])), 3)
    0.007
    """
    _check(before, after)
    return _above(np.asarray(after, np.float64) - before)


def higher(first: Real[np.ndarray, " n"], second: Real[np.ndarray, " m"]) -> float:
    """p-value of the normal test that the mean of the second samples is higher than that of the first (Welch 1947).

    1 where there are fewer than two samples on a side.

    >>> round(higher(np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0])), 3)
    0.007
    """
    if min(len(first), len(second)) < 2:
        return 1.0
    low, high = np.asarray(first, np.float64), np.asarray(second, np.float64)
    error = float(np.sqrt(low.var(ddof=1) / len(low) + high.var(ddof=1) / len(high)))
    return _tail(float(high.mean() - low.mean()), error)


def _above(change: np.ndarray) -> float:
    if len(change) < 2:
        return 1.0
    return _tail(float(change.mean()), float(change.std(ddof=1) / np.sqrt(len(change))))


def _tail(mean: float, error: float) -> float:
    if not error > 0:
        return 0.0 if mean > 0 else 1.0
    return float(norm.sf(mean / error))


def _check(before: np.ndarray, after: np.ndarray) -> None:
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise DataError(
            f"expected the same 1 or more samples before and after, got {before.shape} and {after.shape}; align them"
        )
