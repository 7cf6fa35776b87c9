"""Weights of classes that make rare ones count as much as common ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from torch import Tensor

from obliviate.errors import DataError


def balanced_weights(labels: Int[Tensor, " n"] | Int[np.ndarray, " n"], classes: int) -> tuple[float, ...]:
    """Weigh each class by n / (K · n_k), so that all of them add the same to the loss; a class without samples by 1.

    They are for `Recipe(class_weights=...)`. King & Zeng, "Logistic Regression in Rare Events Data", 2001; as in
    scikit-learn's `class_weight="balanced"`. Raises DataError for no labels, or labels outside 0 … K − 1.

    >>> balanced_weights(np.array([0, 0, 0, 1]), classes=2)
    (0.6666666666666666, 2.0)
    """
    class_indices = labels.cpu().numpy() if isinstance(labels, Tensor) else labels
    if not len(class_indices) or class_indices.min() < 0 or class_indices.max() >= classes:
        span = f"[{class_indices.min()}, {class_indices.max()}]" if len(class_indices) else "none"
        raise DataError(f"expected labels in [0, {classes}), got {span}; number classes from 0")
    counts = np.bincount(class_indices, minlength=classes)
    weights = np.where(counts > 0, len(class_indices) / (classes * np.maximum(counts, 1)), 1.0)
    return tuple(weights.tolist())
