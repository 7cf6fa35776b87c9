"""Attacks by shadows: a candidate attacked with the help of references that went through the same unlearning.

The game is forget samples, which the candidate was made to forget, against as many that it never saw. Models that
never saw either are the baseline, under the same shadows: retrained ones, or the references before their unlearning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from obliviate.audit.baseline import OutOfSample, Pair, References
from obliviate.audit.competition import of_shadows
from obliviate.audit.distances import klom_of_shadows
from obliviate.audit.inputs import AuditSamples, Candidate, Pool, Shadows
from obliviate.errors import AuditError
from obliviate.membership.base import PARTS, Attack, Knowledge, Readings, Target, readings
from obliviate.membership.outputs import Labels, Outputs
from obliviate.results.model import Competition, Klom


@dataclass(frozen=True, eq=False)
class ShadowKnowledge:
    """What is known of the samples F ∪ V from a candidate's shadows: what attacks read of each, and its margins."""

    shadows: Shadows
    labels: Labels
    margins: np.ndarray  # (shadows, k)
    readings: Sequence[Readings]  # one a shadow
    knowledge: Knowledge

    @classmethod
    def of(cls, shadows: Shadows, samples: AuditSamples, attacks: Sequence[Attack]) -> ShadowKnowledge:
        """Read every shadow once; raises AuditError for shadows of other samples or that do not fit together."""
        count = len(shadows.logits)
        if shadows.included.shape != (count, len(shadows.index)) or shadows.forget.shape != shadows.index.shape:
            raise AuditError(
                f"expected included ({count}, k), index (k,) and forget (k,) of {count} shadows, got "
                f"{shadows.included.shape}, {shadows.index.shape} and {shadows.forget.shape}; make them again"
            )
        if set(shadows.index[shadows.forget]) != set(samples.forget):
            raise AuditError("expected shadows of this forget set, got those of another; make them for this request")
        labels = samples.classes(shadows.index)
        signals = list(dict.fromkeys(signal for attack in attacks for signal in attack.signals))
        read, margins = [], []
        for values in shadows.logits:
            outputs = Outputs(values, labels)
            read.append(readings(outputs, signals))
            margins.append(outputs.margin)
        knowledge = Knowledge.of(zip(read, shadows.included, strict=True), samples=len(shadows.index))
        return cls(shadows, labels, np.stack(margins), read, knowledge)

    def pair(self, attack: Attack, candidate: Candidate) -> Pair:
        """Scores of the forget samples, and of those that were never seen, on a model."""
        scores = attack(self._target(candidate.logits[self.shadows.index], self.knowledge))
        return scores[self.shadows.forget], scores[~self.shadows.forget]

    def references(self, attack: Attack, pool: Pool) -> References:
        """The pool before its unlearning as the baseline: each on what it never saw, under the other shadows."""
        out_of_sample = []
        forget = self.shadows.forget
        for reference, read, included in zip(pool.logits, self.readings, self.shadows.included, strict=True):
            rest = self.knowledge.without(read, included)
            scores = attack(self._target(reference[self.shadows.index], rest, included))
            pair = scores[forget & ~included], scores[~forget & ~included]
            out_of_sample.append(OutOfSample(pair, ~included[forget], ~included[~forget]))
        return References.of(out_of_sample)

    @property
    def klom(self) -> Klom:
        """KLoM percentiles of the forget samples, and their floor."""
        forget = self.shadows.forget
        return klom_of_shadows(self.margins[:, forget], self.shadows.included[:, forget])

    def competition(self, utility: float | None) -> Competition:
        """The score of the NeurIPS 2023 competition, from the product of the ratios of accuracies (None: not known)."""
        forget = self.shadows.forget
        return of_shadows(self.margins[:, forget], self.shadows.included[:, forget], utility=utility)

    def _target(self, values: np.ndarray, knowledge: Knowledge, included: np.ndarray | None = None) -> Target:
        never = ~self.shadows.forget if included is None else ~self.shadows.forget & ~included
        parts = np.where(self.shadows.forget, PARTS.index("forget"), PARTS.index("unseen"))
        return Target(Outputs(values, self.labels), parts, np.flatnonzero(never), knowledge)
