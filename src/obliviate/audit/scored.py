"""A candidate with its outputs and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.baseline import Pair
from obliviate.audit.inputs import AuditSamples, Candidate
from obliviate.audit.shadows import ShadowKnowledge
from obliviate.membership.outputs import Outputs
from obliviate.metrics.intervals import auc

GAMES: Final = {"ft": ("forget", "unseen"), "fr": ("retain", "forget"), "rt": ("retain", "unseen")}
"""The game of each attack figure: (members, non-members)."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A candidate with its outputs and its scores, each taken apart into forget, retain and unseen."""

    candidate: Candidate
    outputs: Outputs
    correct: dict[str, np.ndarray]
    margin: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]
    shadows: ShadowKnowledge | None
    lead: str

    @classmethod
    def of(cls, candidate: Candidate, attacks: FittedAttacks, samples: AuditSamples) -> Scored:
        """Read a candidate's outputs by every attack."""
        outputs = samples.outputs(candidate.logits, whose=candidate.name)
        target = samples.target(outputs, attacks.knowledge)
        scores = {attack.name: samples.by_part(attack(target)) for attack in attacks.on_all}
        shadows = None
        if candidate.shadows is not None:
            shadows = ShadowKnowledge.of(candidate.shadows, samples, attacks.by_shadows)
        correct, margin = samples.by_part(outputs.correct), samples.by_part(outputs.margin)
        return cls(candidate, outputs, correct, margin, scores, shadows, attacks.lead)

    def pair(self, attack: str, game: str = "ft") -> Pair:
        """Scores of an attack on the members and on the non-members of a game."""
        members, others = GAMES[game]
        return self.scores[attack][members], self.scores[attack][others]

    @property
    def useful(self) -> np.ndarray:
        """Retain and test accuracy."""
        return np.array([self.correct[part].mean() for part in ("retain", "unseen")])

    @property
    def figures(self) -> list[float]:
        """Forget, retain and test accuracy and FT-AUC in percent: what the average gap is made of."""
        return [*(100 * float(right.mean()) for right in self.correct.values()), 100 * auc(*self.pair(self.lead))]
