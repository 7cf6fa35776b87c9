"""Utility beside forgetting: every figure of a task on retained and unseen samples, compared with what it should be.

A destroyed model forgets everything, and a model that has lost a rare class may not lose a point of accuracy. So each
figure is compared by itself, sample by sample, with retrained models (with the original, or with the references, where
there are none), and how far such models lie apart by their seeds is part of every error (`audit.spread`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import t

from obliviate.audit.figures import BALANCED, View
from obliviate.audit.spread import Spreads
from obliviate.audit.verdict import LEVEL, Evidence, Usefulness, points
from obliviate.membership.outputs import Outputs
from obliviate.metrics.rates import holm
from obliviate.results.values import Unit

MISSED: Final = 0.025  # how often a true retrain may miss what is asked of its figures, all of them together
MOST: Final = 0.20  # a figure that cannot be told from one this much lower shows nothing
BEYOND_MARGIN: Final = 0.01  # how much more than the margin may stay open on retained samples
DAMAGE: Final = 0.01  # a certain loss on retained samples that is told, whatever the verdict
WORTH: Final = 0.10  # what a class must have to lose
PER_LOG: Final = 3.0  # a margin of 3 points is 9 % of perplexity
SURE: Final = 1.5  # times its margin must a figure have to lose, so that losing it all is seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A utility figure of a model beside what it should be; fractions, but for perplexity, which is −log of it.

    `margin` is the loss that still counts as none, and `resolution` the least margin that a true retrain keeps in all
    but 2.5 % of cases, all figures together. `classwise` figures are recalls of single classes; `chance` is what a
    model gets that ignores its inputs. `matters` says that the whole of it would be missed if it were lost.
    """

    name: str
    part: str
    unit: Unit
    value: float
    expected: float
    difference: Evidence
    margin: float
    resolution: float
    most: float
    chance: float
    matters: bool
    classwise: bool = False
    lost: bool = False

    @property
    def resolved(self) -> bool:
        """Whether the samples tell a loss that matters from none."""
        return self.resolution <= self.most

    @property
    def kept(self) -> bool:
        """Whether it is shown, at 5 %, that no more than the margin is lost."""
        return self.difference.interval().low >= -self.margin

    @property
    def where(self) -> str:
        """What the samples are called."""
        return "retained" if self.part == "retain" else "unseen"

    @property
    def words(self) -> str:
        """The figure and its two values, as "recall of class 1 on unseen samples 91.0 instead of 98.0"."""
        return f"{self.name} on {self.where} samples {self.shown(self.value)} instead of {self.shown(self.expected)}"

    def shown(self, value: float) -> str:
        """A value as people write it."""
        if self.unit == "perplexity":
            return f"{math.exp(-value):.2f}"
        return (f"{value:.2f}" if self.unit == "R²" else f"{100 * value:.1f}").replace("-", "−")


@dataclass(frozen=True, kw_only=True, eq=False)
class Utility:
    """All figures of a model, and what they were compared with."""

    figures: tuple[Figure, ...]
    against: str

    @property
    def accuracy(self) -> Figure:
        """The accuracy on unseen samples."""
        return next(figure for figure in self.figures if (figure.name, figure.part) == ("accuracy", "unseen"))

    @cached_property
    def usefulness(self) -> Usefulness:
        """What the verdict needs to know."""
        lost = sorted((figure for figure in self.figures if figure.lost), key=lambda figure: figure.difference.value)
        reason = ""
        if lost:
            first = lost[0]
            reason = (
                f"The {first.name} on {first.where} samples is {first.shown(first.value)}, where {self.against} "
                f"{first.shown(first.expected)}: {_points(first)}"
            )
            more = len(lost) - 1
            reason += f"; {more} more {'figure is' if more == 1 else 'figures are'} lost." if more else "."
        return Usefulness(lost=reason, unshown=self._unshown, damage=self._damage)

    @property
    def _damage(self) -> str:
        retained = [figure for figure in self.figures if figure.part == "retain"]
        worse = _certain(retained, DAMAGE)
        return min(worse, key=lambda figure: figure.difference.value).words if worse else ""

    @property
    def _unshown(self) -> str:
        """Why it is not shown that the model is as useful as a retrained one; empty if it is."""
        whole = [figure for figure in self.figures if not figure.classwise]
        if open_ := [
            figure for figure in whole if figure.part == "retain" and figure.name == "accuracy" and not figure.resolved
        ]:
            return _too_few(open_[0])
        unseen = [figure for figure in whole if figure.part == "unseen"]
        if not any(figure.resolved and figure.matters for figure in unseen):
            worth = max(unseen, key=lambda figure: figure.expected - figure.chance)
            return (
                f"what it is good for cannot be told: {_too_few(worth)}, of {100 * (worth.expected - worth.chance):.1f}"
            )
        looked_at: dict[str, list[Figure]] = {}
        for figure in self.figures:
            if figure.classwise and figure.expected >= WORTH:
                looked_at.setdefault(figure.name, []).append(figure)
        for name, figures in looked_at.items():
            if not any(figure.matters or self._in_balance(figure) for figure in figures):
                return f"whether the {name} is kept cannot be told from so few samples"
        asked = [figure for figure in self.figures if (figure.resolved if figure in whole else figure.matters)]
        if missed := [figure for figure in asked if not figure.kept]:
            worst = min(missed, key=lambda figure: figure.difference.interval().low + figure.margin)
            return f"it is not shown to be as useful as they are: {worst.words}"
        return ""

    def _in_balance(self, recall: Figure) -> bool:
        """Whether balanced accuracy would tell that all of a class is lost."""
        return any(
            recall.expected * figure.chance >= SURE * figure.margin and figure.resolved
            for figure in self.figures
            if (figure.name, figure.part) == (BALANCED, recall.part)
        )


def _too_few(figure: Figure) -> str:
    return f"the {figure.name} on {figure.where} samples resolves losses of {100 * figure.resolution:.1f} points only"


def _points(figure: Figure) -> str:
    return points(figure.difference.interval())


def _certain(figures: Sequence[Figure], beyond: float) -> list[Figure]:
    """Those that are lower by more than `beyond`, at 5 % for all of them together (Holm), half of it for recalls."""
    certain: list[Figure] = []
    for classwise in (False, True):
        family = [figure for figure in figures if figure.classwise == classwise]
        if family:
            moved = [figure.difference.moved(beyond * _scale(figure.unit)) for figure in family]
            adjusted = holm(np.array([evidence.p_below() for evidence in moved]))
            certain += [figure for figure, p_value in zip(family, adjusted, strict=True) if p_value < LEVEL / 2]
    return certain


def _scale(unit: Unit) -> float:
    return PER_LOG if unit == "perplexity" else 1.0


@dataclass(eq=False)
class ReferenceUtility:
    """What references say of the samples of one view that they were, or were not, trained on: gathered one by one."""

    view: View
    trained: bool
    count: Float[np.ndarray, " n"] = field(init=False)
    mean: Float[np.ndarray, " n"] = field(init=False)
    squares: Float[np.ndarray, " n"] = field(init=False)
    values: list[np.ndarray] = field(default_factory=list)  # of every reference: (figures,)
    variances: list[np.ndarray] = field(default_factory=list)  # (strata,)
    counts: list[np.ndarray] = field(default_factory=list)  # (strata,)

    def __post_init__(self) -> None:
        size = len(self.view.index)
        self.count, self.mean, self.squares = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, outputs: Outputs, included: Bool[np.ndarray, " all"]) -> None:
        """Read one reference (Welford 1962)."""
        mask = included[self.view.index] if self.trained else ~included[self.view.index]
        values = self.view.read(outputs, mask)
        self.count[mask] += 1
        step = values[mask] - self.mean[mask]
        self.mean[mask] += step / self.count[mask]
        self.squares[mask] += step * (values[mask] - self.mean[mask])
        mean, variance, count = self.view.means(values, mask)
        self.values.append(self.view.figures(mean))
        self.variances.append(variance)
        self.counts.append(count)

    @property
    def own(self) -> Float[np.ndarray, " strata"]:
        """The variance between models on one sample: the mean over the samples of every stratum."""
        size = self.view.weights.shape[1]
        spare = np.maximum(self.count - 1, 0)
        degrees = np.bincount(self.view.strata, weights=spare, minlength=size)
        total = np.bincount(self.view.strata, weights=self.squares, minlength=size)
        return total / np.maximum(degrees, 1)

    @property
    def sampling(self) -> Float[np.ndarray, "references figures"]:
        """The sampling variance of every reference's figures around those of all, on the samples that it reads.

        Its own part counts whole; what samples share with other models varies less, for it reads a good part of them.
        """
        whole = np.bincount(self.view.strata, minlength=self.view.weights.shape[1])
        own, variances = self.own, []
        for variance, count in zip(self.variances, self.counts, strict=True):
            with np.errstate(invalid="ignore", divide="ignore"):
                shared = (1 - count / whole) * np.maximum(0.0, variance - own)
                variances.append(self.view.variance((own + shared) / count))
        return np.array(variances)


@dataclass(frozen=True, eq=False)
class Bar:
    """What the figures of one view should be: values of other models on the same samples, and how far these lie apart.

    `models` is how many they are, `noise` the part of a figure's sampling variance that is each model's own, `spread`
    how far models lie apart beyond it.
    """

    view: View
    values: Float[np.ndarray, " n"]
    models: int
    noise: Float[np.ndarray, " figures"]
    spread: Spreads

    def figures(self, outputs: Outputs, *, looked_at: Mapping[bool, int], margin: float) -> list[Figure]:
        """The figures of a model beside this bar; `looked_at` is how many there are, classwise ones and others."""
        view = self.view
        whole = np.ones(len(view.index), dtype=bool)
        read = view.read(outputs, whole)
        mean, variance, count = view.means(read - self.values)
        difference = view.figures(mean)
        weight = 1 + 1 / self.models
        error = view.variance(variance / np.maximum(count, 1)) + weight * self.spread.variance
        null = weight * (self.noise + self.spread.variance)
        own = view.figures(view.means(read)[0])
        scale = _scale(view.unit)
        figures = []
        for place, name in enumerate(view.names):
            if np.isnan(difference[place]):
                continue
            df = self.spread[place].degrees(float(null[place]), weight)
            evidence = Evidence(
                attack=name,
                value=float(difference[place]),
                error=math.sqrt(error[place]),
                null_error=math.sqrt(null[place]),
                df=df,
            )
            classwise = bool(view.classwise is not None and view.classwise[place])
            quantiles = t.ppf(1 - LEVEL, df) + t.ppf(1 - MISSED / 2 / looked_at[classwise], df)
            resolution = float(quantiles) * evidence.null_error
            # What is certainly lost in 5 of 6 cases, beside all other classes, if it is lost altogether.
            seen = float(t.ppf(1 - LEVEL / 2 / looked_at[classwise], df) + 1) * evidence.null_error
            allowed = max(scale * margin, resolution)
            expected = float(own[place] - difference[place])
            worth = expected - float(view.chance[place])
            retained = view.part == "retain" and name == "accuracy"
            most = scale * margin + BEYOND_MARGIN if retained else max(MOST, margin) * scale
            figures.append(
                Figure(
                    name=name,
                    part=view.part,
                    unit=view.unit,
                    value=float(own[place]),
                    expected=expected,
                    difference=evidence,
                    # Of a class a few samples tell no more than that it is not lost altogether.
                    margin=max(allowed, worth) if classwise else allowed,
                    resolution=resolution,
                    most=most,
                    chance=float(view.chance[place]),
                    matters=worth >= (seen if classwise else SURE * allowed),
                    classwise=classwise,
                )
            )
        return figures


def bar(
    view: View,
    others: Sequence[Float[np.ndarray, " n"]],
    references: ReferenceUtility,
    retrained: Sequence[Float[np.ndarray, " n"]],
) -> Bar:
    """What a view's figures should be: the mean of other models, or of references where `others` is empty.

    `retrained` are the `others` where these are retrained models; with `references` they tell how far models lie apart.
    """
    noise = view.variance((references.own + _least(view)) / np.maximum(np.bincount(view.strata), 1))
    groups = [(np.array(references.values), references.sampling)]
    if len(retrained) > 1:
        rest = len(retrained) - 1
        paired = []
        for place, values in enumerate(retrained):
            peers = [other for number, other in enumerate(retrained) if number != place]
            _, variance, count = view.means(values - np.mean(peers, axis=0))
            paired.append(view.variance(variance / np.maximum(count, 1)))
        # A few retrained models that agree on all of a rare class do not show that the next one will.
        noise = np.maximum(noise, np.mean(paired, axis=0) / (1 + 1 / rest))
        own = np.array([view.figures(view.means(values)[0]) for values in retrained])
        groups.append((own, np.tile(noise, (len(retrained), 1))))
    spread = Spreads.of(groups, classwise=view.classwise)
    values = np.mean(others, axis=0) if others else references.mean
    return Bar(view, values, len(others) or max(len(references.values), 1), noise, spread)


def _least(view: View) -> Float[np.ndarray, " strata"]:
    """What `View.means` adds to the variance of bounded values."""
    count = np.bincount(view.strata, minlength=view.weights.shape[1])
    return 0.5 / (count + 1) if view.bounded else np.zeros(len(count))


def utility(bars: Sequence[Bar], outputs: Outputs, *, margin: float, against: str) -> Utility:
    """All figures of a model beside their bars; lost are those that are certainly lower, by more than the margin."""
    single = [int(bar.view.classwise.sum()) for bar in bars if bar.view.classwise is not None]
    looked_at = {True: sum(single), False: sum(len(bar.view.names) for bar in bars) - sum(single)}
    figures = [figure for bar in bars for figure in bar.figures(outputs, looked_at=looked_at, margin=margin)]
    certain = {id(figure) for figure in _certain(figures, margin)}
    marked = tuple(replace(figure, lost=id(figure) in certain) for figure in figures)
    return Utility(figures=marked, against=against)
