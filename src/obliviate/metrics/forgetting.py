"""How close an unlearned model comes to retrained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Real

from obliviate.errors import DataError

Figures = Mapping[str, float] | Sequence[float]


def average_gap(model: Figures, reference: Figures) -> float:
    """Mean absolute difference of four figures: forget, retain and test accuracy (UA, RA, TA) and FT-AUC.

    AMUN (Ebrahimpour-Boroojeny et al. 2025), Table 1. The result has the unit of the figures (usually percent);
    0 means that they agree. Raises DataError unless both hold the same four figures.

    >>> average_gap([95.0, 100.0, 93.0, 51.0], [94.0, 100.0, 94.0, 50.0])
    0.75
    """
    if isinstance(model, Mapping) and isinstance(reference, Mapping):
        if model.keys() != reference.keys():
            raise DataError(f"expected equal names, got {sorted(model)} and {sorted(reference)}; name the same figures")
        ours, theirs = list(model.values()), [reference[name] for name in model]
    elif isinstance(model, Mapping) or isinstance(reference, Mapping):
        raise DataError("expected two mappings or two sequences, got one of each; pass both in the same form")
    else:
        ours, theirs = list(model), list(reference)
    if not len(ours) == len(theirs) == 4:
        raise DataError(f"expected 4 figures each, got {len(ours)} and {len(theirs)}; pass UA, RA, TA and FT-AUC")
    return float(np.mean(np.abs(np.subtract(ours, theirs))))


def closure(original: float, unlearned: float, retrained: float) -> float:
    """Share of the way from the original to the retrained figure that unlearning went: 0 none, 1 all, above 1 past it.

    Raises DataError when original and retrained agree, for then there is no way to go.

    >>> closure(original=70.0, unlearned=55.0, retrained=50.0)
    0.75
    """
    if original == retrained:
        raise DataError(f"expected original and retrained figures to differ, got {original} for both; leave it out")
    return (unlearned - original) / (retrained - original)


def tpr_at(
    positive: Real[np.ndarray, " p"], negative: Real[np.ndarray, " n"], fpr: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Largest true-positive rate of a threshold whose false-positive rate does not exceed each `fpr`, as fractions.

    A sample counts as positive when it scores strictly above the threshold, so ties are never split.

    >>> tpr_at(np.array([1.0, 3.0]), np.array([0.0, 2.0]), np.array([0.0, 0.5, 1.0])).tolist()
    [0.5, 1.0, 1.0]
    """
    # -inf last is the threshold at which every sample counts as positive.
    thresholds = np.append(np.sort(negative.astype(np.float64))[::-1], -np.inf)
    allowed = np.floor(fpr * len(negative) + 1e-9).astype(np.intp)
    below = np.searchsorted(np.sort(positive), thresholds[allowed], side="right")
    return 1 - below / len(positive)


def margin_bins(margins: Float[np.ndarray, " n"], *, bins: int = 40) -> Float[np.ndarray, " edges"]:
    """Edges of equal bins over the 0.5 to 99.5 percentile range of the margins, widened by 1 where all are equal.

    >>> margin_bins(np.array([0.0, 0.0]), bins=2).tolist()
    [-0.5, 0.0, 0.5]
    """
    low, high = np.percentile(margins, [0.5, 99.5])
    return np.linspace(low, high, bins + 1) if low < high else np.linspace(low - 0.5, high + 0.5, bins + 1)


def density(values: Float[np.ndarray, " n"], edges: Float[np.ndarray, " edges"]) -> Float[np.ndarray, " bins"]:
    """Histogram density over the bins; the outer bins take the tails, so that the area is always 1.

    >>> density(np.array([-9.0, 0.1, 0.2, 9.0]), np.array([0.0, 0.5, 1.0])).tolist()
    [1.5, 0.5]
    """
    return np.histogram(values.clip(edges[0], edges[-1]), edges, density=True)[0]
