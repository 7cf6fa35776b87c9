"""How close an unlearned model comes to retrained ones, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Real

from obliviate.errors import DataError
from obliviate.metrics.intervals import Interval, tost

Verdict = Literal["consistent with retraining", "not forgotten", "over-unlearned", "utility lost", "not resolvable"]
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


def judge(
    ft: Interval, forget: Interval, test: Interval, *, margin: float = 0.05, utility_margin: float = 0.03
) -> tuple[Verdict, str]:
    """The verdict on a model and its reason in one sentence, from its differences to the mean of retrained models.

    `ft` is the difference of FT-AUC, `forget` that of forget accuracy, `test` that of test accuracy, each with a 90 %
    interval and all, like the margins, as fractions. The first rule that holds decides:

    1. "utility lost": `test` lies wholly below 0 and its value more than `utility_margin` below.
    2. "consistent with retraining": `ft` lies inside +-`margin` (two one-sided tests at 5 %), and `forget` does not lie
       wholly outside +-`margin`.
    3. "not forgotten": `ft` lies wholly above 0 and its value above `margin`, or `forget` lies wholly above `margin`.
    4. "over-unlearned": the same on the other side.
    5. "not resolvable": the samples are too few to tell.

    Rule 3 asks for more than a difference from 0, because two retrained models differ as well: the interval takes the
    models as given, so a small shift between two seeds is "significant" more often than one time in ten.

    >>> judge(Interval(0.2, 0.18, 0.22), Interval(0.1, 0.08, 0.12), Interval(0.0, -0.01, 0.01))[0]
    'not forgotten'
    """
    points = f"at margin {100 * margin:g} points"
    evidence = f"FT-AUC is {_points(ft)} and forget accuracy {_points(forget)} from the mean of the retrained models"
    if test.high < 0 and test.value < -utility_margin:
        allowed = f"more than the {100 * utility_margin:g} points allowed"
        return "utility lost", f"Test accuracy is {_points(test)} from the mean of the retrained models, {allowed}."
    if tost(ft, margin) and forget.low <= margin and forget.high >= -margin:
        return "consistent with retraining", f"{evidence}: no difference that matters {points}."
    if (ft.low > 0 and ft.value > margin) or forget.low > margin:
        return "not forgotten", f"{evidence}: the forget set is still recognised {points}."
    if (ft.high < 0 and ft.value < -margin) or forget.high < -margin:
        return "over-unlearned", f"{evidence}: the forget set stands out as removed {points}."
    return "not resolvable", f"{evidence}: not clearly inside or outside {points}; audit more samples."


def _points(interval: Interval) -> str:
    value, low, high = (f"{100 * one:+.1f}".replace("-", "−") for one in (interval.value, interval.low, interval.high))
    return f"{value} points (90 % interval {low} to {high})"
