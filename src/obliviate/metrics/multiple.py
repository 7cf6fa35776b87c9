"""Several tests at once that depend on each other: the p-value of the least of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from obliviate.errors import DataError

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
MOST_CORRELATED = 0.99  # beyond it the tests are one test, and the integral has no width left


def least_p(p_value: float, tests: int, correlation: float) -> float:
    """Probability that the least of `tests` one-sided p-values is at most `p_value` where nothing is to be found.

    The statistics are normal, each pair of them correlated by `correlation` in [0, 1] or more (Slepian 1962: more makes
    the probability smaller). With 0 it is Šidák's 1 − (1 − p)ⁿ, with 1 it is p.

    >>> round(least_p(0.02, 3, 0.0), 4), round(least_p(0.02, 3, 0.8), 4), least_p(0.02, 1, 0.5)
    (0.0588, 0.04, 0.02)
    """
    if tests < 1 or not 0 <= p_value <= 1 or not 0 <= correlation <= 1:
        raise DataError(
            f"expected tests >= 1, a p-value and a correlation in [0, 1], got {tests}, {p_value} and {correlation}"
        )
    if tests == 1 or p_value in (0.0, 1.0):
        return p_value
    shared = min(correlation, MOST_CORRELATED)
    inside = ndtr((-ndtri(p_value) - np.sqrt(shared) * _NODES) / np.sqrt(1 - shared)) ** tests
    combined = 1 - float(inside @ _WEIGHTS) / float(_WEIGHTS.sum())
    return float(np.clip(combined, p_value, min(1.0, tests * p_value)))


def least_correlation(influences: Sequence[Sequence[Float[np.ndarray, " _"]]]) -> float:
    """The least correlation, 0 or more, between statistics that are sums of means over the same groups of samples.

    `influences` holds, for each statistic, a value a sample for every group. A statistic without any variance is
    correlated with nothing.

    >>> one, other = np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 1.0])
    >>> round(least_correlation([[one, other], [2 * one, 2 * other]]), 6), least_correlation([[one], [-one]])
    (1.0, 0.0)
    """
    centred = [
        np.concatenate([(group - group.mean()) / len(group) for group in groups if len(group)]) for groups in influences
    ]
    products = np.array([[float(first @ second) for second in centred] for first in centred])
    sizes = np.sqrt(np.diag(products))
    pairs = [
        products[row, column] / (sizes[row] * sizes[column]) if sizes[row] * sizes[column] > 0 else 0.0
        for row in range(len(centred))
        for column in range(row)
    ]
    return float(np.clip(min(pairs, default=1.0), 0.0, 1.0))
