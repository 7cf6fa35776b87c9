"""The utility figures of a task: what a model is still good for, as means over strata of samples.

Written so, every figure of two models is compared sample by sample, and a figure's noise follows from that of the
samples. Accuracy has one stratum, recalls have a stratum a class, the area under the curve of two classes and macro-F1
are linearised (placements: DeLong et al. 1988; influence functions: Hampel 1974).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.audit.inputs import AuditSamples
from obliviate.membership.outputs import Outputs
from obliviate.metrics.intervals import placements
from obliviate.results.values import Unit

LEAST_OF_CLASS: Final = 10  # retained samples; rarer classes are looked at together
BALANCED: Final = "balanced accuracy"


@dataclass(frozen=True, eq=False)
class View:
    """Figures of one kind on one part of the samples.

    `read` gives a value for each sample of `index` (positions among the samples of an audit); where the mask is false
    it is not to be used. A figure is `weights` @ the means of these values over the strata, and `scales` are the
    weights by which the strata's errors count. `chance` is what the best model scores that ignores its inputs.
    `bounded` values lie in [0, 1]. `classwise` figures are those of single classes.
    """

    part: str
    names: tuple[str, ...]
    unit: Unit
    index: Int[np.ndarray, " n"]
    strata: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, "figures strata"]
    scales: Float[np.ndarray, "figures strata"]
    chance: Float[np.ndarray, " figures"]
    read: Callable[[Outputs, Bool[np.ndarray, " n"]], Float[np.ndarray, " n"]]
    bounded: bool = True
    classwise: Bool[np.ndarray, " figures"] | None = None

    def means(
        self, values: Float[np.ndarray, " n"], mask: Bool[np.ndarray, " n"] | None = None
    ) -> tuple[Float[np.ndarray, " strata"], Float[np.ndarray, " strata"], Int[np.ndarray, " strata"]]:
        """Mean, variance and number of the values in every stratum; NaN means where there are none.

        To the variance of bounded values two samples are added, half a unit to either side of 0, so that a handful of
        equal ones is not certain beyond all doubt.
        """
        strata = self.strata if mask is None else self.strata[mask]
        values = values if mask is None else values[mask]
        size = self.weights.shape[1]
        count = np.bincount(strata, minlength=size)
        total = np.bincount(strata, weights=values, minlength=size)
        squares = np.bincount(strata, weights=values**2, minlength=size)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            more, extra = (2, 0.5) if self.bounded else (0, 0.0)
            centre = total / (count + more)
            variance = (squares + extra - (count + more) * centre**2) / (count + more - 1)
        return mean, np.maximum(variance, 0.0), count

    def figures(self, mean: Float[np.ndarray, " strata"]) -> Float[np.ndarray, " figures"]:
        """The figures from the means of the strata; NaN where a stratum that counts has none."""
        return _weighted(self.weights, mean)

    def variance(self, of_mean: Float[np.ndarray, " strata"]) -> Float[np.ndarray, " figures"]:
        """The variance of the figures from those of the strata's means."""
        return _weighted(self.scales**2, of_mean)


def views(
    samples: AuditSamples, index: Mapping[str, Int[np.ndarray, " _"]], *, columns: int, spared: Collection[int] = ()
) -> list[View]:
    """The utility figures of a task, on retain and on unseen samples; `index` says where these are.

    `columns` is the number of outputs. Samples of the classes `spared` play no part: retraining would know less of them
    than what models are compared with.
    """
    figures: list[View] = []
    for part in ("retain", "unseen"):
        places, rows = index[part], samples.parts[part]
        if samples.labels is not None:
            kept = ~np.isin(samples.labels[rows], list(spared))
            if not kept.any():
                continue
            places, labels = places[kept], samples.labels[rows[kept]]
            figures.append(_accuracy(part, places, labels))
            if (
                by_class := _by_class(part, places, labels, samples.labels[samples.retain], samples.class_names)
            ) is not None:
                figures.append(by_class)
            if columns == 2 and 0 < labels.sum() < len(labels):
                figures.append(_two_classes(part, places, labels))
            continue
        figures.append(_accuracy(part, places, None))
        if samples.null_loss is not None:
            figures.append(_explained(part, places, samples.null_loss[rows]))
        elif samples.present is not None:
            figures.append(_macro_f1(part, places, samples.present[rows]))
        elif samples.tokens:
            figures.append(_perplexity(part, places))
    return figures


def _accuracy(part: str, index: np.ndarray, labels: np.ndarray | None) -> View:
    chance = 0.0 if labels is None else float(np.bincount(labels).max()) / len(labels)
    return _single(part, "accuracy", "percent", index, chance, lambda seen, _: seen.correct[index])


def _by_class(
    part: str, index: np.ndarray, labels: np.ndarray, retained: np.ndarray, class_names: Sequence[str]
) -> View | None:
    """Balanced accuracy and recalls, of the classes of which something is retained; None where none is in this part."""
    classes, strata, counts = np.unique(labels, return_inverse=True, return_counts=True)
    left = np.bincount(retained, minlength=int(classes[-1]) + 1)[classes]
    if not left.any():
        return None
    rare = (left > 0) & (left < LEAST_OF_CLASS)
    names, rows = [BALANCED], [(left > 0) / (left > 0).sum()]
    for place in np.flatnonzero(left >= LEAST_OF_CLASS):
        names.append(f"recall of class {class_names[classes[place]] if class_names else classes[place]}")
        rows.append((np.arange(len(classes)) == place).astype(np.float64))
    if left[rare].sum() >= LEAST_OF_CLASS:
        names.append(f"recall of the {int(rare.sum())} classes with few samples")
        rows.append(np.where(rare, counts, 0) / counts[rare].sum())
    weights = np.stack(rows)
    chance = np.zeros(len(names))
    chance[0] = 1 / (left > 0).sum()
    return View(
        part, tuple(names), "percent", index, strata, weights, weights, chance,
        lambda seen, _: seen.correct[index], classwise=np.arange(len(names)) > 0,
    )  # fmt: skip


def _two_classes(part: str, index: np.ndarray, labels: np.ndarray) -> View:
    """AUC of the log-odds of class 1: the mean placement of either class, and the noise of both."""
    positive = labels == 1

    def read(seen: Outputs, mask: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        odds = np.where(positive, seen.margin[index], -seen.margin[index])
        values = np.full(len(index), 0.5)
        ones, zeros = positive & mask, ~positive & mask
        if ones.any() and zeros.any():
            values[ones], values[zeros] = placements(odds[ones], odds[zeros])
        return values

    halves, whole = np.array([[0.5, 0.5]]), np.ones((1, 2))
    return View(part, ("AUC",), "percent", index, positive.astype(np.intp), halves, whole, np.array([0.5]), read)


def _explained(part: str, index: np.ndarray, null_loss: np.ndarray) -> View:
    """R²: the loss in units of that of the best constant prediction."""
    unit = max(float(null_loss.mean()), np.finfo(np.float64).tiny)

    def read(seen: Outputs, mask: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:  # noqa: ARG001
        return 1 - seen.losses[index] / unit

    return _single(part, "R²", "R²", index, 0.0, read, bounded=False)


def _perplexity(part: str, index: np.ndarray) -> View:
    """The mean log-likelihood of a sample's tokens, of which e to the minus is the perplexity."""
    return _single(part, "perplexity", "perplexity", index, -np.inf, lambda seen, _: -seen.losses[index], bounded=False)


def _macro_f1(part: str, index: np.ndarray, present: Bool[np.ndarray, "n labels"]) -> View:
    """Macro-F1 over the labels that occur, and the influence of each sample on it."""
    occurs = present.any(axis=0)
    present = present[:, occurs]

    def read(seen: Outputs, mask: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        values = np.zeros(len(index))
        values[mask] = f1_influences(seen.answers[index][:, occurs][mask], present[mask])
        return values

    share = present.mean(axis=0)
    chance = float((2 * share / (1 + share)).mean())  # of a model that says yes to everything
    return _single(part, "macro-F1", "percent", index, chance, read)


def f1_influences(
    predicted: Bool[np.ndarray, "n labels"], present: Bool[np.ndarray, "n labels"]
) -> Float[np.ndarray, " n"]:
    """A value a sample whose mean is macro-F1, and whose variance is n times that of macro-F1 to first order.

    >>> predicted, present = np.array([[True], [True], [False]]), np.array([[True], [False], [False]])
    >>> round(float(f1_influences(predicted, present).mean()), 4)
    0.6667
    """
    both, either = predicted & present, predicted.astype(np.float64) + present
    mean_both, mean_either = both.mean(axis=0), either.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(mean_either > 0, 2 * mean_both / mean_either, 0.0)
        influence = np.where(mean_either > 0, (2 * both - f1 * either) / mean_either, 0.0)
    return (f1 + influence).mean(axis=1)


def _single(
    part: str,
    name: str,
    unit: Unit,
    index: np.ndarray,
    chance: float,
    read: Callable[[Outputs, np.ndarray], np.ndarray],
    *,
    bounded: bool = True,
) -> View:
    strata, whole = np.zeros(len(index), dtype=np.intp), np.ones((1, 1))
    return View(part, (name,), unit, index, strata, whole, whole, np.array([chance]), read, bounded=bounded)


def _weighted(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`weights` @ `values`, where values that have no weight may be NaN."""
    filled = np.nan_to_num(values)
    missing = (weights != 0) @ np.isnan(values).astype(np.float64) > 0
    return np.where(missing, np.nan, weights @ filled)
