"""Whether a model still knows a class that was to be forgotten as a whole, by what it says of the other classes.

A model can be kept from ever naming a class and know it as before: take the class away from its answers, and what is
left tells. A retrained model sees such samples as strange members of the classes that it knows, one that had the class
in a way of their own. Neighbouring classes as evidence of class membership: Ebrahimpour-Boroojeny et al. 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from obliviate.metrics.intervals import Interval, clopper_pearson

LEAST: Final = 20  # unseen samples of forgotten classes, below which nothing is said
HALVES: Final = 2


def forgotten_classes(forget: Int[np.ndarray, " f"], retain: Int[np.ndarray, " r"]) -> Int[np.ndarray, " k"]:
    """Name the classes of which samples are forgotten and none is retained.

    >>> forgotten_classes(np.array([0, 2, 2]), np.array([0, 1])).tolist()
    [2]
    """
    return np.setdiff1d(forget, retain)


def class_membership(
    model: Float[np.ndarray, "n c"],
    original: Float[np.ndarray, "n c"],
    retrained: Sequence[Float[np.ndarray, "n c"]],
    gone: Int[np.ndarray, " k"],
    *,
    confidence: float = 0.95,
) -> Interval | None:
    """The share of samples of forgotten classes on which a model answers as the original does, not as retrained ones.

    All are logits on the same n samples of the classes `gone`, which no model was trained on. A linear classifier is
    fitted on what the original and the retrained models say of one half of the samples, the classes `gone` left out,
    and asked about the model's answers on the other half; then the other way round. A fraction with its exact interval,
    None for fewer than 20 samples, fewer than 2 other classes, or no retrained model. What matters is the distance from
    the share of a retrained model that the classifier was not fitted on: models differ by their seeds alone.

    >>> rng = np.random.default_rng(0)
    >>> had, never = (rng.normal(size=(40, 3)) + [0, shift, 0] for shift in (4, 0))
    >>> class_membership(had + 0.1, had, [never], np.array([2])).value
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    others = np.setdiff1d(np.arange(original.shape[1]), gone)
    if len(original) < LEAST or len(others) < 2 or not retrained:
        return None
    features = [_beside(logits, others) for logits in (original, *retrained)]
    had = np.repeat([True] + [False] * len(retrained), len(original))
    asked, half = _beside(model, others), np.arange(len(original)) % HALVES
    taken = np.zeros(len(original), dtype=bool)
    for turn in range(HALVES):
        fitted = np.tile(half != turn, len(features))
        classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        classifier.fit(np.concatenate(features)[fitted], had[fitted])
        taken[half == turn] = classifier.predict(asked[half == turn])
    return clopper_pearson(int(taken.sum()), len(taken), confidence=confidence)


def _beside(logits: Float[np.ndarray, "n c"], others: Int[np.ndarray, " k"]) -> Float[np.ndarray, "n features"]:
    """Centred log-probabilities of the other classes: class by class, and from the greatest to the least."""
    kept = logits[:, others].astype(np.float64)
    kept -= kept.mean(axis=1, keepdims=True)
    return np.concatenate([kept, -np.sort(-kept, axis=1)], axis=1)
