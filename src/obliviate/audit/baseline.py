"""What an attack's AUC on a model is compared with: its AUCs on models that never saw the forget set.

Two kinds of them. Retrained models are scored on the same samples, so that differences are paired and the samples'
part in the noise cancels. References never saw half of the samples each, and are attacked on that half. In both cases
models differ by their seeds as well as by sampling (`audit.spread`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from obliviate.audit.inputs import LEAST_REFERENCES
from obliviate.audit.spread import Spread
from obliviate.audit.verdict import Evidence
from obliviate.errors import AuditError
from obliviate.metrics.intervals import placement_variance, placements

Pair = tuple[np.ndarray, np.ndarray]
"""Scores of members and of non-members."""

LEAST_OUT_OF_SAMPLE: Final = 2  # samples of a kind that a reference must not have seen, to be a baseline


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """One reference on the samples that it never saw: its scores, and which of all samples they are of."""

    pair: Pair
    forget: Bool[np.ndarray, " f"]
    unseen: Bool[np.ndarray, " u"]

    @property
    def enough(self) -> bool:
        """Whether there are samples enough of both kinds to say how it ranks them."""
        return min(map(len, self.pair)) >= LEAST_OUT_OF_SAMPLE

    @cached_property
    def ranked(self) -> Pair:
        """The placements of its scores."""
        return placements(*self.pair)

    @property
    def auc(self) -> float:
        """Its AUC."""
        return float(self.ranked[0].mean())


@dataclass(frozen=True, eq=False)
class References:
    """References as the baseline of one attack: for every sample, its mean placement on those that never saw it.

    `values` are the AUCs of the references and `sampling` the mean sampling variance of these, each on what it never
    saw; `noise` is the part of the variance on all samples that is one model's own.
    """

    above: Float[np.ndarray, " f"]
    below: Float[np.ndarray, " u"]
    values: Float[np.ndarray, " k"]
    sampling: float
    noise: float

    @classmethod
    def of(cls, out_of_sample: Sequence[OutOfSample]) -> References:
        """Of every reference that never saw at least `LEAST_OUT_OF_SAMPLE` samples of each kind.

        Raises AuditError where these are fewer than `LEAST_REFERENCES`, and for a sample that fewer than 2 never saw.
        """
        many, enough = len(out_of_sample[0].forget), [scored for scored in out_of_sample if scored.enough]
        if len(enough) < LEAST_REFERENCES:
            raise AuditError(
                f"expected at least {LEAST_REFERENCES} references that never saw {LEAST_OUT_OF_SAMPLE} forget samples "
                f"or more, got {len(enough)} with {many} forget samples; ask for more samples at once, or train "
                "more references"
            )
        above, below = _Means(many), _Means(len(out_of_sample[0].unseen))
        for scored in enough:
            above.add(scored.ranked[0], scored.forget)
            below.add(scored.ranked[1], scored.unseen)
        if (least := int(min(above.count.min(), below.count.min()))) < 2:
            raise AuditError(
                f"expected every sample unseen by at least 2 references, got one unseen by {least}; train more of them"
            )
        return cls(
            above.mean,
            below.mean,
            np.array([scored.auc for scored in enough]),
            float(np.mean([_sampling(scored, above.variance, below.variance) for scored in enough])),
            above.variance / len(above.mean) + below.variance / len(below.mean),
        )

    def evidence(self, attack: str, pair: Pair, spread: Spread) -> Evidence:
        """How a model's AUC differs from what these references say, sample by sample."""
        above, below = placements(*pair)
        weight = 1 + 1 / len(self.values)
        null = self.noise * (1 + 2 / len(self.values)) + weight * spread.variance
        variance = placement_variance(above - self.above, below - self.below) + weight * spread.variance
        return Evidence(
            attack=attack,
            value=float(above.mean() - (self.above.mean() + self.below.mean()) / 2),
            error=math.sqrt(variance),
            null_error=math.sqrt(null),
            df=spread.degrees(null, weight),
            spread=weight * spread.variance,
            influences=(above - self.above, below - self.below),
        )


def _sampling(scored: OutOfSample, above: float, below: float) -> float:
    """The sampling variance of one reference's AUC around that of all: its own part, and that of drawing its samples.

    The samples come from a finite set, of which it sees a good part: what they share with other models varies less.
    """
    parts = (scored.ranked[0], scored.forget, above), (scored.ranked[1], scored.unseen, below)
    return sum(
        (own + (1 - where.mean()) * max(0.0, float(ranked.var(ddof=1)) - own)) / len(ranked)
        for ranked, where, own in parts
    )


class _Means:
    """Running mean and squared deviations of values that are there for some samples at a time (Welford 1962)."""

    def __init__(self, n: int) -> None:
        self.count, self.mean, self._squares = np.zeros(n), np.zeros(n), np.zeros(n)

    def add(self, values: np.ndarray, where: np.ndarray) -> None:
        self.count[where] += 1
        step = values - self.mean[where]
        self.mean[where] += step / self.count[where]
        self._squares[where] += step * (values - self.mean[where])

    @property
    def variance(self) -> float:
        """The mean over samples of the variance between models."""
        return float(self._squares.sum() / (self.count - 1).sum())


@dataclass(frozen=True)
class Retrained:
    """Two or more retrained models as the baseline of one attack: placements of their scores on the same samples."""

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
            placement_variance(*_minus(ranked, [other for other in self.ranked if other is not ranked]))
            for ranked in self.ranked
        ]
        return float(np.mean(differences)) / (1 + 1 / rest)

    def evidence(self, attack: str, pair: Pair, spread: Spread, *, leave_out: int | None = None) -> Evidence:
        """How a model's AUC differs from the mean of theirs; `leave_out` is its own place if it is one of them."""
        others = [ranked for place, ranked in enumerate(self.ranked) if place != leave_out]
        above, below = _minus(placements(*pair), others)
        weight = 1 + 1 / len(others)
        null = weight * (self.noise + spread.variance)
        return Evidence(
            attack=attack,
            value=float(above.mean()),
            error=math.sqrt(placement_variance(above, below) + weight * spread.variance),
            null_error=math.sqrt(null),
            df=spread.degrees(null, weight),
            spread=weight * spread.variance,
            influences=(above, below),
        )


def _minus(ranked: Pair, others: Sequence[Pair]) -> Pair:
    """Placements less the mean of those of other models on the same samples."""
    above, below = (np.mean([other[side] for other in others], axis=0) for side in (0, 1))
    return ranked[0] - above, ranked[1] - below
