"""RMIA, robust membership inference (Zarifzadeh, Liu & Shokri 2024, arXiv 2312.03262), as pure score functions.

score(x) = share of population points z with ratio(x) / ratio(z) > gamma, ratio(x) = p(x | target) / p(x), where p(x)
comes from the moments of reference models. All points share one z set, so the score is the empirical CDF of the
z-ratios at ratio(x) / gamma and costs one sort. Shares tie often; each score therefore carries the rank of ratio(x) as
a fraction of one population step: `floor(score * z) / z` is the published share, and scores order samples just as
ratio(x) does. The AUC hence depends on neither gamma nor z; they set the share, and with it the scale on which a
threshold is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import factorial
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp
from scipy.stats import rankdata

from obliviate.errors import DataError
from obliviate.membership.base import FIRST, Knowledge, Scores, Signal, Target, Use
from obliviate.membership.moments import Moments
from obliviate.membership.outputs import NLL, Outputs

Form: TypeAlias = Literal["softmax", "taylor"]

# SM-Taylor: the soft margin, and the degree of the Taylor polynomial of exp.
SOFT_MARGIN, DEGREE = 0.6, 4


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """The signal of RMIA: the probability of the true class (`confidence`), or of the target without classes.

    >>> Confidence()(Outputs(np.array([[0.0, 0.0]]), np.array([1]))).tolist()
    [0.5]
    """

    temperature: float = 2.0
    form: Form = "softmax"

    def __call__(self, outputs: Outputs) -> Float[np.ndarray, " n"]:
        if outputs.labels is None:
            return np.exp(-outputs.values[:, NLL].astype(np.float64))
        return confidence(outputs.values, outputs.labels, temperature=self.temperature, form=self.form)


@dataclass(frozen=True, kw_only=True)
class _ByConfidence(ABC):
    """What RMIA by all references and by those without each sample have in common.

    `temperature` and `form` are those of the probability (`confidence`), and play no part without classes.
    """

    source: ClassVar[str] = "Zarifzadeh, Liu & Shokri, ICML 2024, arXiv 2312.03262"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})

    gamma: float = 2.0
    temperature: float = 2.0
    form: Form = "softmax"

    @property
    def signal(self) -> Signal:
        """The probability of the true class."""
        return Confidence(temperature=self.temperature, form=self.form)

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The probability of the true class, alone."""
        return (self.signal,)

    @abstractmethod
    def __call__(self, target: Target) -> Scores: ...


@dataclass(frozen=True, kw_only=True)
class RMIA(_ByConfidence):
    """Compare a sample's likelihood ratio with those of samples that the model never saw."""

    name: ClassVar[str] = "rmia"
    title: ClassVar[str] = "RMIA"
    use: ClassVar[Use] = "verdict"

    def __call__(self, target: Target) -> Scores:
        return online(target.signal(self.signal), target.moments(self.signal), target.population, gamma=self.gamma)


@dataclass(frozen=True, kw_only=True)
class RMIAOffline(_ByConfidence):
    """RMIA by the references without each sample alone; `a` is fitted on references where it is None."""

    name: ClassVar[str] = "rmia_offline"
    title: ClassVar[str] = "RMIA offline"
    use: ClassVar[Use] = "figure"

    a: float | None = None

    def fitted(self, knowledge: Knowledge, population: Int[np.ndarray, " z"]) -> RMIAOffline:
        """Choose `a` as `fit_offline_a` does, unless it is set."""
        if self.a is not None:
            return self
        targets = [(read[self.signal], included) for read, included in knowledge.first]
        return replace(self, a=fit_offline_a(targets, knowledge.moments[self.signal], population, gamma=self.gamma))

    def __call__(self, target: Target) -> Scores:
        if self.a is None:
            raise DataError("expected the parameter a of offline RMIA, got None; fit the attack on references first")
        confidences, moments = target.signal(self.signal), target.moments(self.signal)
        return offline(confidences, moments, target.population, a=self.a, gamma=self.gamma)


def confidence(
    logits: Float[np.ndarray, "*models n c"],
    labels: Int[np.ndarray, " n"],
    *,
    temperature: float = 2.0,
    form: Form = "softmax",
) -> Float[np.ndarray, "*models n"]:
    """Probability of the true class at a temperature, as float64 in [0, 1] (RMIA, appendix B).

    `form` is the softmax, or "taylor" for SM-Taylor: with u = logits / temperature, the true class's u lowered by
    m = 0.6, and exp replaced by the sum of u^i / i!, i <= 4. (As published the sum stops at i = 3, a cubic that is
    negative below u = -1.6 and gives "probabilities" outside [0, 1]; a Taylor polynomial of even degree is positive.)
    It falls again below u = -1.6, so that a very unlikely class counts as a likely one: prefer the softmax for models
    whose logits are not near zero on average.
    Raises DataError for mismatched shapes, labels outside [0, c), logits that are not finite, temperatures <= 0 and
    unknown forms.

    >>> confidence(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([0, 1])).round(3).tolist()
    [0.5, 0.269]
    >>> confidence(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([0, 1]), form="taylor").round(3).tolist()
    [0.355, 0.169]
    """
    if logits.ndim < 2 or labels.shape != logits.shape[-2:-1] or not temperature > 0:
        raise DataError(
            f"expected logits (..., n, c), labels (n,) and temperature > 0, got {logits.shape}, {labels.shape} and "
            f"{temperature}; pass one label a sample"
        )
    if form not in ("softmax", "taylor"):
        raise DataError(f"expected form softmax or taylor, got {form}; the default is softmax")
    classes = logits.shape[-1]
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(f"expected labels in [0, {classes}), got [{labels.min()}, {labels.max()}]; number from 0")
    rows = np.arange(len(labels))
    result = np.empty(logits.shape[:-1])
    # One model at a time: a float64 copy of the logits of a whole pool would be gigabytes.
    for model in np.ndindex(logits.shape[:-2]):
        scaled = logits[model].astype(np.float64) / temperature
        if not np.isfinite(scaled).all():
            raise DataError("expected finite logits, got NaN or infinity; check that the model has not diverged")
        if form == "softmax":
            result[model] = np.exp(scaled[rows, labels] - np.asarray(logsumexp(scaled, axis=1)))
        else:
            scaled[rows, labels] -= SOFT_MARGIN
            weight = np.polyval([1 / factorial(i) for i in range(DEGREE, -1, -1)], scaled)
            result[model] = weight[rows, labels] / weight.sum(axis=1)
    return result


def online(
    target: Float[np.ndarray, " n"], moments: Moments, population: Int[np.ndarray, " z"], *, gamma: float = 2.0
) -> Float[np.ndarray, " n"]:
    """Online RMIA scores in (0, 1 + 1/z): p(x) is half the mean over references with x, half over those without.

    `target` holds probabilities from `confidence`, `moments` those of the references; `population` indexes the points
    z. See the module docstring for the tie-break.
    Raises DataError for a sample that every reference or no reference trained on: its p(x) would lack a half, and on a
    perfect retrain FT-AUC would be 0.37 instead of 0.50. Also for mismatched shapes and NaN.

    >>> included = np.array([[True, False], [False, True]])
    >>> moments = Moments.of(np.array([[0.9, 0.3], [0.5, 0.8]]), included)
    >>> online(np.array([0.8, 0.1]), moments, np.array([1])).round(3).tolist()
    [1.667, 0.333]
    """
    _check(target, moments, population, gamma)
    prior = (moments.mean(inside=True) + moments.mean(inside=False)) / 2
    return _score(_ratio(target, prior), population, gamma)


def offline(
    target: Float[np.ndarray, " n"],
    moments: Moments,
    population: Int[np.ndarray, " z"],
    *,
    a: float,
    gamma: float = 2.0,
) -> Float[np.ndarray, " n"]:
    """Offline RMIA scores: p(x) = ((1 + a) * P_OUT + (1 - a)) / 2, with P_OUT the mean over references without x.

    RMIA, appendix B.2.2; `a` comes from `fit_offline_a`. Arguments, range and errors as for `online`.

    >>> included = np.array([[True, False], [False, True]])
    >>> moments = Moments.of(np.array([[0.9, 0.3], [0.5, 0.8]]), included)
    >>> offline(np.array([0.8, 0.1]), moments, np.array([1]), a=0.3).round(3).tolist()
    [1.667, 0.333]
    """
    _check(target, moments, population, gamma)
    return _offline(target, moments.mean(inside=False), population, a, gamma)


def fit_offline_a(
    targets: Sequence[tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]],
    moments: Moments,
    population: Int[np.ndarray, " z"],
    *,
    gamma: float = 2.0,
    grid: Sequence[float] = tuple(step / 10 for step in range(11)),
) -> float:
    """The `a` of `offline` with the best mean AUC when up to four references in turn play the target.

    `targets` are (probabilities, row of the plan) of references that are in `moments`; the first four are used.
    Membership in a reference is known from its row, so the audited model is never looked at. Samples that every
    remaining reference trained on are left out of that turn. The first `a` of the grid wins a tie.
    Raises DataError when no reference can play the target (too few references) or `grid` is empty, for a reference
    that is not in `moments`, and as `online` does.

    >>> values = np.array([[0.9, 0.3, 0.9], [0.5, 0.8, 0.7], [0.6, 0.7, 0.6], [0.8, 0.2, 0.9]])
    >>> included = np.array([[1, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=bool)
    >>> 0 <= fit_offline_a(list(zip(values, included)), Moments.of(values, included), np.array([1, 2])) <= 1
    True
    """
    if not len(grid):
        raise DataError("expected at least one value of a to try, got an empty grid; leave grid out for 0, 0.1, ..., 1")
    turns: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for values, row in targets[:FIRST]:
        _check(values, moments, population, gamma)
        rest = moments.without(values, row)
        usable = np.asarray(rest.count[0] > 0)
        position = np.cumsum(usable) - 1
        points = position[population[usable[population]]]
        member = row[usable]
        if len(points) and member.any() and not member.all():
            turns.append((values[usable], rest.mean(inside=False)[usable], points, member))
    if not turns:
        raise DataError(
            "expected references that leave members and non-members when one plays the target, got "
            f"{moments.references} models of which {len(targets)} could play it; train at least 4 on a balanced "
            "leave-half-out plan"
        )

    def mean_auc(a: float) -> float:
        scores = [_offline(target, p_out, points, a, gamma) for target, p_out, points, _ in turns]
        return float(np.mean([_auc(s, member) for s, (*_, member) in zip(scores, turns, strict=True)]))

    return float(max(grid, key=mean_auc))


def _auc(scores: np.ndarray, member: np.ndarray) -> float:
    members = int(member.sum())
    above = rankdata(scores)[member].sum() - members * (members + 1) / 2
    return float(above / (members * (len(scores) - members)))


def _offline(target: np.ndarray, p_out: np.ndarray, population: np.ndarray, a: float, gamma: float) -> np.ndarray:
    return _score(_ratio(target, ((1 + a) * p_out + (1 - a)) / 2), population, gamma)


def _ratio(target: np.ndarray, prior: np.ndarray) -> np.ndarray:
    # The floor only matters where every reference underflows to 0, and turns 0 / 0 into 0.
    return target / np.maximum(prior, np.finfo(np.float64).tiny)


def _score(ratio: np.ndarray, population: np.ndarray, gamma: float) -> np.ndarray:
    # Everything is looked up in ascending order: neighbours then share cache lines, which is three times as fast.
    order = np.argsort(ratio)
    ascending = ratio[order]
    points = np.repeat(ascending, np.bincount(population, minlength=len(ratio))[order])  # sorted, by the one sort
    share = np.searchsorted(points, ascending / gamma, side="left")
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] > ascending[:-1]]))
    ends = np.append(starts[1:], len(ratio))
    ranks = np.repeat((starts + 1 + ends) / 2, ends - starts)  # of equal ratios, their mean
    scores = np.empty(len(ratio))
    scores[order] = (share + ranks / (len(ratio) + 1)) / len(population)
    return scores


def _check(target: np.ndarray, moments: Moments, population: np.ndarray, gamma: float) -> None:
    if not len(population) or population.min() < 0 or population.max() >= len(target):
        raise DataError(f"expected population indices in [0, {len(target)}), got {population}; index the samples")
    if not gamma > 0:
        raise DataError(f"expected gamma > 0, got {gamma}; the paper uses 2")
    moments.check(target)
