"""What a model still gets right, and by how much: the utility figures of every task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped
from scipy.special import logsumexp

from obliviate.errors import DataError
from obliviate.metrics.intervals import auc


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


def recalls(correct: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> dict[int, float]:
    """Share of each class's samples that are labelled correctly, in [0, 1], for the classes that occur, in order.

    Raises DataError for unequal lengths or no samples.

    >>> recalls(np.array([True, False, True]), np.array([0, 0, 2]))
    {0: 0.5, 2: 1.0}
    """
    _check_pairs(correct, labels)
    classes, places = np.unique(labels, return_inverse=True)
    counts, right = np.bincount(places), np.bincount(places, weights=correct)
    return {int(label): float(share) for label, share in zip(classes, right / counts, strict=True)}


def balanced_accuracy(correct: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean recall over the classes that occur, in [0, 1]; a model that always says one of K classes has 1 / K.

    Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010. Raises DataError as `recalls`.

    >>> balanced_accuracy(np.array([True, True, True, False]), np.array([0, 0, 0, 1]))
    0.5
    """
    return float(np.mean(list(recalls(correct, labels).values())))


def two_class_auc(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> float:
    """Area under the ROC curve of the log-odds z_1 − z_0 for class 1, in [0, 1]; ties count half.

    Raises DataError for other than two classes, or where one of them does not occur.

    >>> two_class_auc(np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 2.0]]), np.array([0, 0, 1]))
    1.0
    """
    _check(logits, labels)
    odds = logits[:, 1].astype(np.float64) - logits[:, 0]
    if logits.shape[1] != 2 or len(np.unique(labels)) != 2:
        raise DataError(
            f"expected logits of 2 classes that both occur, got {logits.shape[1]} classes and labels "
            f"{np.unique(labels).tolist()}; use the balanced accuracy"
        )
    return auc(odds[labels == 1], odds[labels == 0])


def macro_f1(predicted: Bool[np.ndarray, "n labels"], targets: Bool[np.ndarray, "n labels"]) -> float:
    """Mean over the labels that occur of F1 = 2 TP / (2 TP + FP + FN), in [0, 1].

    Raises DataError for unequal shapes, or where no sample has a label.

    >>> macro_f1(np.array([[True, False], [True, False]]), np.array([[True, False], [False, False]])).__round__(4)
    0.6667
    """
    if predicted.shape != targets.shape or targets.ndim != 2 or not targets.any():
        raise DataError(
            f"expected predictions and targets (n, labels) of which some are true, got {predicted.shape} and "
            f"{targets.shape} with {int(targets.sum())} true; give each sample its labels"
        )
    occurs = targets.any(axis=0)
    predicted, targets = predicted[:, occurs], targets[:, occurs]
    hits, wrong = (predicted & targets).sum(axis=0), (predicted ^ targets).sum(axis=0)
    return float(np.mean(2 * hits / (2 * hits + wrong)))


def r_squared(prediction: Real[np.ndarray, " n *outputs"], target: Real[np.ndarray, " n *outputs"]) -> float:
    """Share of the targets' variance that predictions explain, 1 − Σ (y − ŷ)² / Σ (y − ȳ)², at most 1; 0 is the mean.

    With several outputs both sums are over all of them. Raises DataError for unequal shapes or constant targets.

    >>> r_squared(np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    0.5
    """
    if prediction.shape != target.shape or not target.size:
        raise DataError(
            f"expected as many predictions as targets, 1 or more, got {prediction.shape} and {target.shape}; align them"
        )
    wide = target.astype(np.float64)
    total = float(((wide - wide.mean(axis=0)) ** 2).sum())
    if not total > 0:
        raise DataError(f"expected targets that differ, got {len(target)} equal ones; R² is not defined for them")
    return 1 - float(((wide - prediction) ** 2).sum()) / total


def perplexity(nll: Float[np.ndarray, " n"]) -> float:
    """Return e to the mean negative log-likelihood a token, in nats: 1 for a certain model, the vocabulary for none.

    It is e⁷⁰⁰ at most, so that it stays a number whatever became of a model.
    Raises DataError for no samples and for NaN.

    >>> perplexity(np.log(np.array([2.0, 8.0]))).__round__(4)
    4.0
    """
    if not len(nll) or np.isnan(nll).any():
        raise DataError(f"expected at least 1 loss, none NaN, got {nll}; check that the model is sane")
    return float(np.exp(min(nll.astype(np.float64).mean(), 700.0)))


# --------------------------------------------------------------------------------------------- the figures of a task

NLL, RIGHT, OUTPUTS = 0, 2, 3
"""Columns of what a task tells of each sample: −log-likelihood, (score,) share right, then outputs, if it has any."""


def of_shares(signals: Float[np.ndarray, "n k"], targets: Shaped[np.ndarray, " n ..."]) -> dict[str, float]:  # noqa: ARG001
    """Mean share that is right, "accuracy", and mean −log-likelihood, "loss".

    >>> of_shares(np.array([[0.5, 0.4, 1.0], [1.5, -1.2, 0.0]]), np.zeros(2))
    {'accuracy': 0.5, 'loss': 1.0}
    """
    return {"accuracy": float(signals[:, RIGHT].mean()), "loss": float(signals[:, NLL].mean())}


def of_classes(signals: Float[np.ndarray, "n c"], targets: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Accuracy, balanced accuracy, for two classes the AUC, cross-entropy, and "recall_k" of each class k, from logits.

    Classes that do not occur play no part.

    >>> figures = of_classes(np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 1, 1]))
    >>> {name: round(value, 2) for name, value in figures.items() if name != "accuracy"}
    {'balanced_accuracy': 0.75, 'auc': 0.75, 'loss': 0.56, 'recall_0': 1.0, 'recall_1': 0.5}
    """
    right = correct(signals, targets)
    shares = recalls(right, targets)
    figures = {"accuracy": float(right.mean()), "balanced_accuracy": balanced_accuracy(right, targets)}
    if signals.shape[1] == len(shares) == 2:
        figures["auc"] = two_class_auc(signals, targets)
    figures["loss"] = float(np.logaddexp(0.0, -margin(signals, targets)).mean())
    return figures | {f"recall_{label}": share for label, share in shares.items()}


def of_labels(signals: Float[np.ndarray, "n k"], targets: Shaped[np.ndarray, "n labels"]) -> dict[str, float]:
    """Macro-F1 where any label occurs, the share of samples that are all right, and the mean −log-likelihood.

    The outputs are an answer a label, 0 or 1.

    >>> of_labels(np.array([[0.5, 0.4, 1.0, 1.0, 0.0]]), np.array([[1.0, 0.0]]))
    {'macro_f1': 1.0, 'accuracy': 1.0, 'loss': 0.5}
    """
    figures = of_shares(signals, targets)
    if not (targets > 0.5).any():
        return figures
    return {"macro_f1": macro_f1(signals[:, OUTPUTS:] > 0.5, targets > 0.5), **figures}


def of_numbers(signals: Float[np.ndarray, "n k"], targets: Float[np.ndarray, " n ..."]) -> dict[str, float]:
    """R² where the targets differ, and the mean −log-likelihood, "loss"; the outputs are the predictions.

    >>> of_numbers(np.array([[0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 0.0, 1.0]]), np.array([1.0, 3.0]))
    {'r_squared': -1.0, 'loss': 1.0}
    """
    figures = {"loss": float(signals[:, NLL].mean())}
    wide = targets.reshape(len(targets), -1)
    return figures if (wide == wide[:1]).all() else {"r_squared": r_squared(signals[:, OUTPUTS:], wide), **figures}


def of_tokens(signals: Float[np.ndarray, "n k"], targets: Int[np.ndarray, "n length"]) -> dict[str, float]:  # noqa: ARG001
    """Perplexity, and its logarithm, "loss": the mean over the samples' means, in nats.

    >>> of_tokens(np.zeros((2, 3)), np.zeros((2, 4), int))
    {'perplexity': 1.0, 'loss': 0.0}
    """
    return {"perplexity": perplexity(signals[:, NLL]), "loss": float(signals[:, NLL].mean())}


Figures = Callable[[np.ndarray, np.ndarray], dict[str, float]]
FIGURES: Final[dict[str, Figures]] = {
    "shares": of_shares,
    "classes": of_classes,
    "labels": of_labels,
    "numbers": of_numbers,
    "tokens": of_tokens,
}
"""The utility figures by the names that tasks give them (`Task.utility`): from what a task tells, and the targets."""


def _check_pairs(correct: np.ndarray, labels: np.ndarray) -> None:
    if correct.shape != labels.shape or correct.ndim != 1 or not len(correct):
        raise DataError(
            f"expected a label for each of 1 or more samples, got {correct.shape} and {labels.shape}; align them"
        )


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
