"""What models know of a sample by having been trained on it, and what models say of it that were not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from obliviate.errors import DataError


def memorisation(
    right: Real[np.ndarray, "models n"], included: Bool[np.ndarray, "models n"]
) -> Float[np.ndarray, " n"]:
    """Mean of models that were trained on a sample, minus the mean of those that were not, for every sample.

    Of correctness, 0 or 1, it estimates the memorisation of Feldman & Zhang 2020 (arXiv 2008.03703, eq. 1) by models on
    random subsets of the training set: in [−1, 1], 1 where only models that saw the sample get it right. Its standard
    error is at most sqrt(1 / (4 i) + 1 / (4 o)) with i models that saw the sample and o that did not, 0.25 for 8 each.

    Raises DataError for shapes that differ, and for a sample that all models saw, or none.

    >>> right = np.array([[1, 1], [1, 0], [0, 1], [0, 1]])
    >>> memorisation(right, np.array([[True, True], [True, False], [False, False], [False, True]])).tolist()
    [1.0, 0.5]
    """
    return _mean(right, included) - out_of_sample(right, included)


def out_of_sample(
    values: Real[np.ndarray, "models n"], included: Bool[np.ndarray, "models n"]
) -> Float[np.ndarray, " n"]:
    """Mean of the models that were not trained on a sample, for every sample.

    Of correctness it is the share of an ensemble's out-of-sample predictions that agree with the label, by which
    Brodley & Friedl 1999 (Identifying Mislabeled Training Data, section 4) find mislabelled samples: those that most or
    all of the predictions contradict. Raises DataError as `memorisation` does.

    >>> out_of_sample(np.array([[1, 1], [1, 0]]), np.array([[True, False], [False, True]])).tolist()
    [1.0, 1.0]
    """
    return _mean(values, ~included)


def largest(scores: Real[np.ndarray, " n"], ties: Real[np.ndarray, " n"], count: int) -> Int[np.ndarray, " count"]:
    """Places of the largest scores, the largest first; equal ones by the larger in `ties`, then by the lower place.

    >>> largest(np.array([0.5, 1.0, 0.5]), np.array([1.0, 0.0, 2.0]), 2).tolist()
    [1, 2]
    """
    return np.lexsort((-ties, -scores))[:count]


def _mean(values: Real[np.ndarray, "models n"], chosen: Bool[np.ndarray, "models n"]) -> Float[np.ndarray, " n"]:
    if values.shape != chosen.shape:
        raise DataError(
            f"expected one value a model and sample, got {values.shape} for a plan of {chosen.shape}; align them"
        )
    counts = chosen.sum(axis=0)
    if ((counts == 0) | (counts == len(chosen))).any():
        raise DataError(
            "expected models that were trained on each sample and models that were not, got a sample without one of "
            "both; use a pool in which every sample is in half of the models"
        )
    return np.where(chosen, values, 0.0).sum(axis=0) / counts
