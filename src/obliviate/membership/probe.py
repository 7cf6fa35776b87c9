"""A last-layer probe: can a linear classifier tell forgotten from unseen samples by their representations?

An unlearned model may change its last layer only, and give the right outputs from features that still remember. The
probe reads the features. It sees shifts of their mean; a forget set that differs from the unseen samples by its classes
is told apart in every model, also one that never saw it, so the figure means something beside retrained models only.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from obliviate.errors import DataError
from obliviate.membership import logistic


def scores(
    forget: Float[np.ndarray, "f d"],
    unseen: Float[np.ndarray, "u d"],
    *,
    folds: int = 5,
    repeats: int = 3,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " u"]]:
    """Log odds of "forget" of each sample, from logistic regressions on the representation that were not fitted to it.

    `logistic.scores` says how: standardised features, both sides of equal weight, repeated cross-validation. The
    accuracy is `metrics.intervals.balanced_accuracy` of the two. Deterministic given the seed.
    Raises DataError for representations of different width, and as `logistic.scores` does.

    >>> x = np.linspace(0, 1, 40)[:, None] ** np.array([[1, 2]])
    >>> forget, unseen = scores(x[20:], x[:20])
    >>> round(float((forget > 0).mean()), 1), round(float((unseen < 0).mean()), 1)
    (1.0, 1.0)
    """
    if forget.ndim != 2 or unseen.ndim != 2 or forget.shape[1] != unseen.shape[1]:
        raise DataError(
            f"expected representations (f, d) and (u, d), got {forget.shape} and {unseen.shape}; use one layer of one "
            "model"
        )
    members = np.arange(len(forget) + len(unseen)) < len(forget)
    scores = logistic.scores(np.concatenate([forget, unseen]), members, folds=folds, repeats=repeats, seed=seed)
    return scores[members], scores[~members]
