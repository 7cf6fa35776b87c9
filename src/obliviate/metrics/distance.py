"""How far unlearned models are from retrained ones, sample by sample: on margins of many models or softmaxes of two.

None of these has 0 as the value of a perfect retrain: two groups of retrained models, or two retrained models, differ
as well. Call each function a second time on retrained against retrained, and print that floor beside the figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import entr, rel_entr, softmax

from obliviate.errors import DataError

Logits = Float[np.ndarray, "n c"]

# Of the competition's public evaluation; all but delta are in nats.
DELTA = 1e-5
STEP, REACH = 0.01, 2.0
EPSILON_CAP, BUCKET = 50.0, 0.5
# Right thresholds handled at once; each goes with 400 left ones.
CHUNK = 1024


def klom(
    unlearned: Float[np.ndarray, "models n"],
    retrained: Float[np.ndarray, "others n"],
    *,
    bins: int = 20,
    clip: float = 100.0,
    floor: float = 1e-5,
) -> Float[np.ndarray, " n"]:
    """KL divergence of margins per sample, KL(unlearned || retrained) over models, in nats and >= 0; lower is better.

    "Attribute-to-Delete" (Georgiev et al. 2024, arXiv 2410.23232), appendix E.1, as in data-unlearning-bench: margins
    of `utility.margin` are clipped to +-`clip`, counted in equal bins over the pooled range of the sample, and a bin
    that only `retrained` leaves empty gets the probability `floor` before normalisation. Unlike there, the pooled
    maximum counts in the last bin, so that no model is left out.
    Raises DataError unless both score the same samples, without NaN.

    >>> klom(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]])).tolist()
    [0.0]
    """
    _check_margins(unlearned, retrained, least=1)
    if bins < 1 or not clip > 0 or not 0 < floor < 1:
        raise DataError(
            f"expected bins >= 1, clip > 0 and floor in (0, 1), got {bins}, {clip} and {floor}; leave them out"
        )
    p, q = (np.clip(logits.astype(np.float64), -clip, clip) for logits in (unlearned, retrained))
    low = np.minimum(p.min(axis=0), q.min(axis=0))
    width = np.maximum(p.max(axis=0), q.max(axis=0)) - low
    scale = bins / np.where(width > 0, width, 1.0)
    ours, theirs = (_shares(((logits - low) * scale).astype(np.intp).clip(max=bins - 1), bins) for logits in (p, q))
    theirs = np.where(ours > 0, np.maximum(theirs, floor), theirs)
    return rel_entr(ours, theirs / theirs.sum(axis=1, keepdims=True)).sum(axis=1)


def percentiles(
    values: Float[np.ndarray, " n"], *, ranks: Sequence[float] = (50.0, 90.0, 95.0, 99.0)
) -> dict[str, float]:
    """Mean and percentiles of a figure per sample, so that a good mean cannot hide the worst samples.

    >>> percentiles(np.array([0.0, 1.0, 2.0, 5.0]), ranks=(50.0, 100.0))
    {'mean': 2.0, 'p50': 1.5, 'p100': 5.0}
    """
    if not len(values) or np.isnan(values).any():
        raise DataError(f"expected at least 1 value, none NaN, got {values}; compute the figure per sample first")
    percentiles = np.percentile(values, ranks)
    return {"mean": float(values.mean())} | {
        f"p{rank:g}": float(value) for rank, value in zip(ranks, percentiles, strict=True)
    }


def forgetting_epsilon(
    unlearned: Float[np.ndarray, "models n"], retrained: Float[np.ndarray, "others n"], *, delta: float = DELTA
) -> Float[np.ndarray, " n"]:
    """Empirical epsilon per forget sample of telling unlearned from retrained models by the margin, in [0, 50] nats.

    NeurIPS 2023 unlearning competition (Triantafillou et al. 2024, arXiv 2406.09073), as in its public evaluation: the
    largest max{ln(1 - delta - FPR) - ln FNR, ln(1 - delta - FNR) - ln FPR} over the rules "margin >= t" and "margin in
    [l, r]", with t, l and r on grids of 0.01 nats and r - l within 2 nats of the narrower range. A rule with one error
    rate of 0 is left out (too few models to tell), one with both 0 gives 50, and so does a range below 1 % of the
    other. If no rule is left, epsilon is 0, where the public code stops. The cost grows with samples and with the
    range of the margins: about 10 ms a sample for 512 models with a range of 9 nats.
    Raises DataError for fewer than 3 models and as `klom` does.

    >>> forgetting_epsilon(np.array([[0.0], [1.0], [2.0]]), np.array([[5.0], [6.0], [7.0]])).tolist()
    [50.0]
    """
    _check_margins(unlearned, retrained, least=3)
    if not np.isfinite(unlearned).all() or not np.isfinite(retrained).all() or not 0 <= delta < 1:
        raise DataError(f"expected finite margins and delta in [0, 1), got delta {delta}; check that no model diverged")
    pairs = zip(unlearned.T.astype(np.float64), retrained.T.astype(np.float64), strict=True)
    return np.array([_epsilon(np.sort(p), np.sort(q), delta) for p, q in pairs])


def forgetting_quality(epsilon: Float[np.ndarray, " n"], *, models: int) -> float:
    """Forgetting quality F, the mean of H = 2 / 2^bin over samples, in [0, 1]; higher is better, never 1 in practice.

    arXiv 2406.09073: bins of width 0.5 are counted from 1, so that H is 1 for epsilon < 0.5, 1/2 for epsilon < 1, and
    so on; beyond ceil(ln(models - 1)), the most that `models` models a side can show, H is 0.
    Raises DataError without samples, for an epsilon below 0 and for fewer than 3 models.

    >>> forgetting_quality(np.array([0.2, 0.7, 50.0]), models=512)
    0.5
    """
    if not len(epsilon) or not (epsilon >= 0).all() or models < 3:
        raise DataError(f"expected at least 1 epsilon >= 0 and 3 models, got {epsilon} and {models}; train more models")
    index = np.floor(epsilon / BUCKET)
    return float(np.where(index < np.ceil(np.log(models - 1)) / BUCKET, 2.0**-index, 0.0).mean())


def neurips_score(
    unlearned: Float[np.ndarray, "models n"],
    retrained: Float[np.ndarray, "others n"],
    *,
    retain_accuracy: tuple[float, float],
    test_accuracy: tuple[float, float],
) -> float:
    """Final score of the NeurIPS 2023 competition, F * (RA_U / RA_R) * (TA_U / TA_R); higher is better.

    `unlearned` and `retrained` are margins on the forget set; the accuracies are pairs (mean of the unlearned, mean of
    the retrained models). Identical distributions do not give 1: F is then about 0.2, at 16 models as at 512, so
    print the score of retrained against other retrained models of the same number beside it.
    Raises DataError unless the retrained accuracies are > 0, and as `forgetting_epsilon` does.

    >>> margins = np.arange(4.0)[:, None]
    >>> neurips_score(margins, margins + 9, retain_accuracy=(0.9, 1.0), test_accuracy=(0.8, 0.9))
    0.0
    """
    if not (retain_accuracy[1] > 0 and test_accuracy[1] > 0):
        raise DataError(
            f"expected retrained accuracies > 0, got {retain_accuracy[1]} and {test_accuracy[1]}; "
            "pass pairs (unlearned, retrained)"
        )
    epsilon = forgetting_epsilon(unlearned, retrained)
    quality = forgetting_quality(epsilon, models=min(len(unlearned), len(retrained)))
    return quality * (retain_accuracy[0] / retain_accuracy[1]) * (test_accuracy[0] / test_accuracy[1])


def js_divergence(model: Logits, other: Logits) -> Float[np.ndarray, " n"]:
    """Jensen-Shannon divergence of two softmaxes per sample, in bits: 0 for equal ones, 1 for disjoint ones.

    Lin 1991, eq. 3.3 and 4.1. Raises DataError unless both logits have one shape (n >= 1, c >= 2) and are finite.

    >>> js_divergence(np.array([[0.0, 0.0], [99.0, -99.0]]), np.array([[0.0, 0.0], [-99.0, 99.0]])).tolist()
    [0.0, 1.0]
    """
    _check_logits(model, other)
    p, q = (softmax(logits.astype(np.float64), axis=1) for logits in (model, other))
    entropies = entr((p + q) / 2) - (entr(p) + entr(q)) / 2
    # Rounding leaves equal rows a little below 0.
    return (entropies.sum(axis=1) / np.log(2)).clip(0.0, 1.0)


def softmax_distance(model: Logits, other: Logits) -> Float[np.ndarray, " n"]:
    """Euclidean (L2) distance of two softmaxes per sample, in [0, sqrt 2]; its mean is the "activation distance".

    Golatkar et al. 2021, in the form of Chundawat et al. 2023. Raises DataError as `js_divergence` does.

    >>> softmax_distance(np.array([[99.0, -99.0]]), np.array([[-99.0, 99.0]])).round(3).tolist()
    [1.414]
    """
    _check_logits(model, other)
    return np.linalg.norm(softmax(model.astype(np.float64), axis=1) - softmax(other.astype(np.float64), axis=1), axis=1)


def agreement(model: Logits, other: Logits) -> float:
    """Share of samples that both models give the same class, in [0, 1]; a tie goes to the lowest class.

    Raises DataError as `js_divergence` does.

    >>> agreement(np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    0.5
    """
    _check_logits(model, other)
    return float((model.argmax(axis=1) == other.argmax(axis=1)).mean())


def zrf(unlearned: Logits, incompetent: Logits) -> float:
    """Zero retrain forgetting, 1 - mean JS divergence in bits to a randomly initialised model, in [0, 1].

    Chundawat et al. 2023 (arXiv 2205.08096), on the forget set. Not "higher is better": the value of a retrained model
    is the aim. The authors' code averages over classes too and takes KL(mean || model), so that its figures lie nearer
    to 1 the more classes there are; ours follow the formula. Raises DataError as `js_divergence` does.

    >>> zrf(np.array([[99.0, -99.0]]), np.array([[0.0, 0.0]]))
    0.689
    """
    return 1.0 - float(js_divergence(unlearned, incompetent).mean())


def _shares(index: np.ndarray, bins: int) -> Float[np.ndarray, "n bins"]:
    models, n = index.shape
    counts = np.bincount((index + bins * np.arange(n)).ravel(), minlength=bins * n)
    return counts.reshape(n, bins) / models


def _epsilon(p: np.ndarray, q: np.ndarray, delta: float) -> float:
    """Epsilon of one sample from the sorted margins of both groups of models."""
    if np.median(p) < np.median(q):
        p, q = q, p
    widths = p[-1] - p[0], q[-1] - q[0]
    if min(widths) < 0.01 * max(widths):
        return EPSILON_CAP
    low, high = min(p[0], q[0]), max(p[-1], q[-1])
    thresholds = np.linspace(low, high, int(np.ceil((high - low) / STEP)))
    best = _best(_below(p, thresholds), 1 - _below(q, thresholds), delta)

    # The narrower group plays the positives of the rule with two thresholds.
    if widths[0] >= widths[1]:
        p, q = q, p
    width = min(widths)
    start, stop = p[0] + width - REACH, p[-1] + REACH
    rights = np.linspace(start, stop, int(np.ceil((stop - start) / STEP)))
    offsets = np.linspace(-REACH, REACH, int(np.ceil(2 * REACH / STEP))) - width
    for first in range(0, len(rights), CHUNK):
        right = rights[first : first + CHUNK, None]
        left = right + offsets
        inside = [np.maximum(_below(losses, right, "right") - _below(losses, left), 0.0) for losses in (p, q)]
        best = max(best, _best(1 - inside[0], inside[1], delta))
    return min(best, EPSILON_CAP)


def _below(scores: np.ndarray, thresholds: np.ndarray, side: str = "left") -> np.ndarray:
    """Share of the sorted scores below each threshold, or at it as well for "right"."""
    return np.searchsorted(scores, thresholds, side="right" if side == "right" else "left") / len(scores)


def _best(fnr: np.ndarray, fpr: np.ndarray, delta: float) -> float:
    """The largest epsilon, 0 or more, of rules with these error rates; infinite where one of them makes no error."""
    if ((fnr == 0) & (fpr == 0)).any():
        return np.inf
    usable = (fnr > 0) & (fpr > 0)
    fnr, fpr = fnr[usable], fpr[usable]
    # The larger of the two logarithms is that of the larger of the two ratios.
    ratios = np.maximum((1 - delta - fpr) / fnr, (1 - delta - fnr) / fpr)
    return float(np.log(max(ratios.max(initial=1.0), 1.0)))


def _check_margins(unlearned: np.ndarray, retrained: np.ndarray, *, least: int) -> None:
    if unlearned.ndim != 2 or retrained.ndim != 2 or unlearned.shape[1:] != retrained.shape[1:]:
        raise DataError(
            f"expected margins (models, n) on the same samples, got {unlearned.shape} and {retrained.shape}; "
            "score both groups on one set"
        )
    if min(len(unlearned), len(retrained)) < least or not unlearned.shape[1]:
        raise DataError(
            f"expected at least {least} models on each side and 1 sample, got {unlearned.shape} and {retrained.shape}; "
            "train more models"
        )
    if np.isnan(unlearned).any() or np.isnan(retrained).any():
        raise DataError("expected margins without NaN, got NaN; check that no model has diverged")


def _check_logits(model: np.ndarray, other: np.ndarray) -> None:
    if model.ndim != 2 or model.shape != other.shape or not len(model) or model.shape[1] < 2:
        raise DataError(
            f"expected two arrays of logits (n >= 1, c >= 2), got {model.shape} and {other.shape}; "
            "score both models on the same samples"
        )
    if not np.isfinite(model).all() or not np.isfinite(other).all():
        raise DataError("expected finite logits, got NaN or infinity; check that no model has diverged")
