"""How far models lie apart by their seeds, beyond sampling: of a single figure, such as an AUC, and of many at once.

The excess over sampling is estimated by moments (DerSimonian & Laird 1986), from all models that are there: where
retrained models certainly differ more than references do, from them alone. A request may take away a class, or what
steadied the training, and references know a half of it. Of few models little is known: the degrees of freedom say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import f

from obliviate.errors import AuditError

UNLIKE: Final = 0.05  # how often retrained models that differ as references do are taken for others

Value = float | np.ndarray
Group = tuple[np.ndarray, float]
"""A figure of several models, and the mean sampling variance of a single value."""

Groups = tuple[np.ndarray, np.ndarray]
"""Figures of several models, (models, figures), and the sampling variance of each; NaN where a model has none."""


@dataclass(frozen=True)
class Spread:
    """Variance of a figure between models beyond sampling, and the degrees of freedom that it was estimated with."""

    variance: float
    df: float

    @classmethod
    def of(cls, *groups: Group) -> Spread:
        """Estimate from groups of values, each with the mean sampling variance of its members; never below 0.

        Groups may have means of their own. Raises AuditError when no group has 2 models.

        >>> spread = Spread.of((np.array([0.48, 0.50, 0.52]), 0.0001))
        >>> round(spread.variance, 4), spread.df
        (0.0003, 2)
        """
        df = sum(len(values) - 1 for values, _ in groups if len(values) > 1)
        if df < 1:
            raise AuditError("expected at least 2 models that never saw the forget set, got fewer; train more")
        variance = sum((len(values) - 1) * float(values.var(ddof=1)) for values, _ in groups if len(values) > 1) / df
        sampling = sum((len(values) - 1) * within for values, within in groups if len(values) > 1) / df
        return cls(max(0.0, variance - sampling), df)

    @classmethod
    def between(cls, references: Group, retrained: Group) -> Spread:
        """Of references and retrained models together; of the retrained alone where these are certainly further apart.

        Raises AuditError as `of` does.

        >>> alike, apart = np.array([0.48, 0.50, 0.52]), np.array([0.30, 0.60])
        >>> Spread.between((alike, 0.0001), (alike, 0.0001)).df, Spread.between((alike, 0.0001), (apart, 0.0001)).df
        (4, 1)
        """
        expected, own = cls.of(references).variance + retrained[1], cls.of(retrained)
        models, values = len(references[0]), retrained[0]
        if exceeds(values.var(ddof=1), expected, own.df, models - 1):
            return own
        return cls.of(references, retrained)

    def degrees(self, total: float, weight: float) -> float:
        """Degrees of freedom of a total variance that holds `weight` times this one (Satterthwaite 1946)."""
        part = weight * self.variance
        return self.df * max(1.0, total / part) ** 2 if part > 0 else math.inf


@dataclass(frozen=True, eq=False)
class Spreads:
    """The spreads of many figures of the same models, some of which may be figures of a single class each.

    >>> figures = np.array([[0.48, 0.2], [0.50, 0.5], [0.52, 0.8]])
    >>> spreads = Spreads.of([(figures, np.full((3, 2), 0.0001))])
    >>> round(spreads[0].variance, 4), round(spreads[1].variance, 4), spreads[1].df
    (0.0003, 0.0899, 2.0)
    """

    variance: Float[np.ndarray, " figures"]
    df: Float[np.ndarray, " figures"]

    def __getitem__(self, place: int) -> Spread:
        """The spread of a single figure, by its place."""
        return Spread(float(self.variance[place]), float(self.df[place]))

    @classmethod
    def of(cls, groups: Sequence[Groups], *, classwise: Bool[np.ndarray, " figures"] | None = None) -> Spreads:
        """Estimate from references and, if any, retrained models, as `Spread.between` does of a single figure.

        The variance of a `classwise` figure is no less than the mean over classes, whose degrees of freedom it has: few
        models tell little of each. Where retrained models count alone, so does what they tell of that class.
        """
        moments = [_Moments.of(*group) for group in groups]
        df = np.sum([part.df for part in moments], axis=0)
        excess = np.sum([part.squares - part.df * part.sampling for part in moments], axis=0) / np.maximum(df, 1)
        if classwise is not None and classwise.any():
            excess = np.where(classwise, np.maximum(excess, excess[classwise].mean()), excess)
            df = np.where(classwise, df[classwise].max(), df)
        if len(moments) > 1:  # after what classes share, which would lend the few degrees of a class those of all
            references, retrained = moments
            expected = np.maximum(references.excess, 0.0) + retrained.sampling
            alone = exceeds(retrained.variance, expected, retrained.df, references.df)
            excess = np.where(alone, np.maximum(retrained.excess, excess), excess)
            df = np.where(alone, retrained.df, df)
        return cls(np.maximum(excess, 0.0), np.maximum(df, 1))


def exceeds(variance: Value, expected: Value, df: Value, df_expected: Value) -> np.ndarray:
    """Whether variances are certainly larger than those expected, at 5 %, by the degrees of freedom of both (F test).

    >>> bool(exceeds(4.0, 1.0, 2, 15)), bool(exceeds(3.0, 1.0, 2, 15))
    (True, False)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(f.sf(np.divide(variance, expected), df, df_expected) < UNLIKE)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Squared deviations of some models' figures from their means, degrees of freedom, and sampling variances."""

    squares: Float[np.ndarray, " figures"]
    df: Float[np.ndarray, " figures"]
    sampling: Float[np.ndarray, " figures"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "models figures"], sampling: Float[np.ndarray, "models figures"]) -> _Moments:
        """Of figures, and of the sampling variance of each; of those that there are."""
        present = ~(np.isnan(values) | np.isnan(sampling))
        models = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, values, 0.0).sum(axis=0) / models
        squares = np.where(present, (values - mean) ** 2, 0.0).sum(axis=0)
        return cls(squares, models - 1.0, np.where(present, sampling, 0.0).sum(axis=0) / models)

    @property
    def variance(self) -> Float[np.ndarray, " figures"]:
        return self.squares / np.maximum(self.df, 1)

    @property
    def excess(self) -> Float[np.ndarray, " figures"]:
        return self.variance - self.sampling
