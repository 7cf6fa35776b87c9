"""What an attack's AUC on a model is compared with: its AUCs on models that never saw the forget set.

Two kinds of them. Retrained models are scored on the same samples, so that differences are paired and the samples'
part in the noise cancels. References never saw half of the samples each, and are attacked on that half. In both cases
models differ by their seeds as well as by sampling; the excess over sampling is estimated by moments (DerSimonian &
Laird 1986), from all models that are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from obliviate.audit.verdict import Evidence
from obliviate.errors import AuditError
from obliviate.metrics.intervals import placements

Pair = tuple[np.ndarray, np.ndarray]
"""Scores of members and of non-members."""


@dataclass(frozen=True)
class Spread:
    """Variance of an AUC between models beyond sampling, and the degrees of freedom that it was estimated with."""

    variance: float
    df: int

    @classmethod
    def of(cls, *groups: tuple[Float[np.ndarray, " k"], float]) -> Spread:
        """Estimate from groups of AUCs, each with the mean sampling variance of its members; never below 0.

        Groups may have means of their own. Raises AuditError when no group has 2 models.

        >>> Spread.of((np.array([0.48, 0.50, 0.52]), 0.0001))
        Spread(variance=0.0003, df=2)
        """
        df = sum(len(values) - 1 for values, _ in groups if len(values) > 1)
        if df < 1:
            raise AuditError("expected at least 2 models that never saw the forget set, got fewer; train more")
        excess = sum((len(values) - 1) * (values.var(ddof=1) - sampling) for values, sampling in groups if len(values) > 1)
        return cls(float(max(0.0, excess / df)), df)

    def degrees(self, total: float, weight: float) -> float:
        """Degrees of freedom of a total variance that holds `weight` times this one (Satterthwaite 1946)."""
        part = weight * self.variance
        return self.df * (total / part) ** 2 if part > 0 else math.inf


@dataclass(frozen=True)
class References:
    """References as the yardstick of one attack: AUC and sampling variance of each, on what it never saw.

    `shrinkage` is the ratio of the sampling variance on all samples to that on the half that one reference never saw.
    """

    values: Float[np.ndarray, " k"]
    sampling: float
    shrinkage: float

    @classmethod
    def of(cls, pairs: Sequence[Pair], members: int, others: int) -> References:
        """Of the scores on each reference, and the numbers of samples that a candidate is scored on."""
        ranked = [placements(*pair) for pair in pairs]
        sizes = np.mean([1 / len(one) + 1 / len(other) for one, other in pairs])
        return cls(
            np.array([float(above.mean()) for above, _ in ranked]),
            float(np.mean([variance(*one) for one in ranked])),
            float((1 / members + 1 / others) / sizes),
        )

    def evidence(self, attack: str, pair: Pair, spread: Spread) -> Evidence:
        """How a model's AUC differs from the mean of the references'."""
        above, below = placements(*pair)
        mean_error = (spread.variance + self.sampling) / len(self.values)
        null = self.shrinkage * self.sampling + spread.variance + mean_error
        found = variance(above, below) + spread.variance + mean_error
        return Evidence(
            attack=attack,
            value=float(above.mean() - self.values.mean()),
            error=math.sqrt(found),
            null_error=math.sqrt(null),
            df=spread.degrees(null, 1 + 1 / len(self.values)),
        )


@dataclass(frozen=True)
class Retrained:
    """Two or more retrained models as the yardstick of one attack: the placements of their scores on the same samples."""

    ranked: list[Pair]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Retrained:
        """Of the scores on each retrained model."""
        return cls([placements(*pair) for pair in pairs])

    @property
    def values(self) -> Float[np.ndarray, " k"]:
        """Their AUCs."""
        return np.array([float(above.mean()) for above, _ in self.ranked])

    @property
    def noise(self) -> float:
        """The sampling variance that is one model's own, on samples that all share."""
        rest = len(self.ranked) - 1
        differences = [
            variance(*_minus(one, [other for other in self.ranked if other is not one])) for one in self.ranked
        ]
        return float(np.mean(differences)) / (1 + 1 / rest)

    def evidence(self, attack: str, pair: Pair, spread: Spread, *, leave_out: int | None = None) -> Evidence:
        """How a model's AUC differs from the mean of theirs; `leave_out` is its own place if it is one of them."""
        others = [one for place, one in enumerate(self.ranked) if place != leave_out]
        above, below = _minus(placements(*pair), others)
        weight = 1 + 1 / len(others)
        null = weight * (self.noise + spread.variance)
        return Evidence(
            attack=attack,
            value=float(above.mean()),
            error=math.sqrt(variance(above, below) + weight * spread.variance),
            null_error=math.sqrt(null),
            df=spread.degrees(null, weight),
        )


def variance(above: Float[np.ndarray, " p"], below: Float[np.ndarray, " n"]) -> float:
    """The sampling variance of an AUC, or of a difference of AUCs, from placements (DeLong et al. 1988).

    >>> round(variance(np.array([0.75, 1.0]), np.array([1.0, 0.75])), 4)
    0.0312
    """
    return float(above.var(ddof=1)) / len(above) + float(below.var(ddof=1)) / len(below)


def _minus(one: Pair, others: Sequence[Pair]) -> Pair:
    """Placements less the mean of those of other models on the same samples."""
    above, below = (np.mean([other[side] for other in others], axis=0) for side in (0, 1))
    return one[0] - above, one[1] - below
