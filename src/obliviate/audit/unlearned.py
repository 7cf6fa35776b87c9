"""U-LiRA in an audit: a candidate attacked by shadows that went through the same unlearning (Hayes et al. 2024).

The game is forget samples, which the candidate was made to forget, against as many that it never saw. Models that
never saw either are the yardstick, under the same shadows: retrained ones, or the references before their unlearning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from obliviate.attacks.membership import ulira
from obliviate.attacks.membership.moments import Moments
from obliviate.audit.competition import of_shadows
from obliviate.audit.distances import klom_of_shadows
from obliviate.audit.inputs import Candidate, Games, Pool, Shadows
from obliviate.audit.signals import Labels, margins
from obliviate.audit.yardstick import Blind, Pair, References
from obliviate.errors import AuditError

NAME = "ulira"


@dataclass(frozen=True, eq=False)
class UnlearnedPanel:
    """What U-LiRA knows of the samples F ∪ V from a candidate's shadows: one margin for each of both."""

    shadows: Shadows
    labels: Labels
    margins: np.ndarray  # (shadows, k)
    moments: Moments

    @classmethod
    def of(cls, shadows: Shadows, games: Games) -> UnlearnedPanel:
        """Read every shadow once; raises AuditError for shadows of other samples or that do not fit together."""
        count = len(shadows.logits)
        if shadows.included.shape != (count, len(shadows.index)) or shadows.forget.shape != shadows.index.shape:
            raise AuditError(
                f"expected included ({count}, k), index (k,) and forget (k,) of {count} shadows, got "
                f"{shadows.included.shape}, {shadows.index.shape} and {shadows.forget.shape}; make them again"
            )
        if set(shadows.index[shadows.forget]) != set(games.forget):
            raise AuditError("expected shadows of this forget set, got those of another; make them for this request")
        labels = games.classes(shadows.index)
        stacked = np.stack([margins(logits, labels) for logits in shadows.logits])
        return cls(shadows, labels, stacked, Moments.of(stacked, shadows.included))

    def pair(self, candidate: Candidate) -> Pair:
        """Scores of the forget samples, and of those that were never seen, on a model."""
        return self._apart(self._scores(candidate.logits[self.shadows.index]))

    def references(self, pool: Pool) -> References:
        """The pool before its unlearning as the yardstick: each on what it never saw, under the other shadows."""
        blind = []
        forget = self.shadows.forget
        for reference, shadow, row in zip(pool.logits, self.margins, self.shadows.included, strict=True):
            target = margins(reference[self.shadows.index], self.labels)
            scores = ulira.scores(target, self.moments.without(shadow, row))
            pair = scores[forget & ~row], scores[~forget & ~row]
            blind.append(Blind(pair, ~row[forget], ~row[~forget]))
        return References.of(blind)

    @property
    def klom(self) -> dict[str, dict[str, float]]:
        """KLoM percentiles of the forget samples, and their floor."""
        forget = self.shadows.forget
        return klom_of_shadows(self.margins[:, forget], self.shadows.included[:, forget])

    def competition(self, utility: float | None) -> dict[str, Any]:
        """The score of the NeurIPS 2023 competition, from the product of the ratios of accuracies (None: not known)."""
        forget = self.shadows.forget
        return of_shadows(self.margins[:, forget], self.shadows.included[:, forget], utility=utility).to_dict()

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        return ulira.scores(margins(logits, self.labels), self.moments)

    def _apart(self, scores: np.ndarray) -> Pair:
        return scores[self.shadows.forget], scores[~self.shadows.forget]
