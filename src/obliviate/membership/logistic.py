"""Logistic regression on a few numbers a sample: MIA_L on the loss, MIA_E on the entropy (∇τ, arXiv 2403.14339).

A cheap attack: it looks at one model, without references, and sees only what those numbers tell on average.

With one feature, logistic regression is a threshold: it finds members whose feature is lower, or whose feature is
higher, than that of others. Where members lie on both sides of the others (a non-monotone feature), it scores near
chance although the two are told apart easily; give it the square as a second column, or use `boosted_trees`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from obliviate._util.seeds import derive
from obliviate.errors import DataError

REPEATS: Final = 5
"""Cross-validations, each with other folds, whose mean is a score."""


def loss(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Cross-entropy of the true class in nats, >= 0: the feature of MIA_L.

    Raises DataError for mismatched shapes, labels outside [0, c) and logits that are not finite.

    >>> loss(np.array([[0.0, 0.0], [800.0, 0.0]]), np.array([0, 1])).round(3).tolist()
    [0.693, 800.0]
    """
    wide = _finite(logits)
    if labels.shape != wide.shape[:1] or labels.min() < 0 or labels.max() >= wide.shape[1]:
        raise DataError(
            f"expected one label in [0, {wide.shape[1]}) a row of logits {wide.shape}, got {labels.shape} labels "
            f"{labels[:5]}; number classes from 0"
        )
    return np.asarray(logsumexp(wide, axis=1)) - wide[np.arange(len(labels)), labels]


def confidence(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Softmax probability of the true class, in [0, 1]: the feature of the confidence attack.

    A function of the loss, but on a scale where samples that the model is sure of lie close together; a regression on
    it hence weighs the others more.
    Raises DataError as `loss` does.

    >>> confidence(np.array([[0.0, 0.0], [800.0, 0.0]]), np.array([0, 1])).tolist()
    [0.5, 0.0]
    """
    return np.exp(-loss(logits, labels))


def entropy(logits: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """Entropy of the softmax in nats, in [0, log c]: the feature of MIA_E, which needs no labels.

    Raises DataError for logits that are not finite.

    >>> entropy(np.array([[0.0, 0.0], [800.0, 0.0]])).round(3).tolist()
    [0.693, 0.0]
    """
    wide = _finite(logits)
    log_p = wide - np.asarray(logsumexp(wide, axis=1, keepdims=True))
    return np.maximum(-(np.exp(log_p) * log_p).sum(axis=1), 0.0)


def scores(
    features: Float[np.ndarray, " n ..."],
    members: Bool[np.ndarray, " n"],
    *,
    folds: int = 5,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Float[np.ndarray, " n"]:
    """Log odds of membership, each sample's from regressions that were not fitted to it; above 0 means "member".

    Stratified k-fold cross-validation, repeated with other folds; a sample's score is its mean over the repeats.
    `features` are "n" or "n k"; each column is standardised. Members and others weigh the same in a regression however
    many they are, so that the ideal accuracy, `metrics.intervals.balanced_accuracy`, is 0.5; ∇τ drops samples instead.
    Deterministic given the seed.
    Raises DataError for features that are not finite or not as many as `members`, and with fewer than `folds` samples
    on a side.

    >>> x = np.array([0.1, 0.2, 0.3, 0.4, 1.1, 1.2, 1.3, 1.4])
    >>> (scores(x, x < 1, folds=2) > 0).tolist()
    [True, True, True, True, False, False, False, False]
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if folds < 2 or repeats < 1:
        raise DataError(f"expected folds >= 2 and repeats >= 1, got {folds} and {repeats}; the default is 5 and 5")
    if len(features) != len(members):
        raise DataError(f"expected one mark a sample, got {len(members)} for {len(features)} samples; align them")
    columns = np.asarray(features, np.float64).reshape(len(features), -1)
    if not np.isfinite(columns).all():
        raise DataError("expected finite features, got NaN or infinity; check that the model has not diverged")
    if (least := min(int(members.sum()), int((~members).sum()))) < folds:
        raise DataError(f"expected at least {folds} members and as many others, got {least}; use fewer folds")
    total = np.zeros(len(columns))
    for repeat in range(repeats):
        splits = StratifiedKFold(folds, shuffle=True, random_state=derive(seed, "logistic", repeat) % 2**32)
        for fit, rest in splits.split(columns, members):
            attacker = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
            attacker.fit(columns[fit], members[fit])
            total[rest] += attacker.decision_function(columns[rest])
    return total / repeats


def _finite(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    if not len(wide) or not np.isfinite(wide).all():
        raise DataError(
            f"expected finite logits (n >= 1, c), got {wide.shape} with NaN or infinity, or none; check them"
        )
    return wide
