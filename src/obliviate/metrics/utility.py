"""What a classifier still gets right, and by how much."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from obliviate.errors import DataError


def correct(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which samples the largest logit labels correctly; a tie goes to the lowest class, as in argmax.

    Raises DataError for unequal lengths, labels outside [0, c) and NaN logits.

    >>> correct(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0])).tolist()
    [True, False]
    """
    _check(logits, labels)
    return logits.argmax(axis=1) == labels


def accuracy(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> float:
    """Fraction of samples labelled correctly, in [0, 1].

    >>> accuracy(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0]))
    0.5
    """
    return float(correct(logits, labels).mean())


def margin(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Log odds of the true class, phi = z_y - logsumexp of the other logits, in nats as float64.

    Equals log p_y - log sum_{j != y} p_j (Carlini et al. 2022, section V.B) and stays finite where p_y rounds to 1.

    >>> margin(np.array([[1000.0, 0.0]]), np.array([0])).tolist()
    [1000.0]
    """
    _check(logits, labels)
    others = logits.astype(np.float64)
    rows = np.arange(len(labels))
    own = others[rows, labels]
    others[rows, labels] = -np.inf
    return own - np.asarray(logsumexp(others, axis=1))


def _check(logits: np.ndarray, labels: np.ndarray) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels) or logits.shape[1] < 2:
        raise DataError(
            f"expected logits (n >= 1, c >= 2) with labels (n,), got {logits.shape} and {labels.shape}; "
            "pass one row of logits and one label a sample"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError(
            f"expected labels in [0, {logits.shape[1]}), got [{labels.min()}, {labels.max()}]; number classes from 0"
        )
    if np.isnan(logits).any():
        raise DataError(f"expected logits without NaN, got {int(np.isnan(logits).sum())}; check that the model is sane")
