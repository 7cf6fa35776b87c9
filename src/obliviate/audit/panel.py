"""The attacks of an audit, what they read of a model, and what they know from the references."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.attacks.membership import lira, rmia
from obliviate.attacks.membership.moments import Moments
from obliviate.audit.inputs import AuditSettings, Games, Pool
from obliviate.audit.signals import Labels, Signals, read

PARTS = ("forget", "retain", "unseen")
# The attacks that a verdict rests on; the others are shown beside them.
DECISIVE = ("rmia", "lira", "correctness")

Scores = dict[str, np.ndarray]
"""One score a sample, for each attack."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Every attack on a set of samples, with the moments of the references and which part each sample plays.

    `parts` are indices into `PARTS`; `a` is the parameter of offline RMIA, fitted on references.
    """

    parts: Int[np.ndarray, " n"]
    confidence: Moments
    margin: Moments
    a: float
    gamma: float
    variance: lira.Variance

    def scores(self, model: Signals) -> Scores:
        """Membership scores of every attack on a model; higher means "member"."""
        return self._scores(model, self.parts == PARTS.index("unseen"))

    def blind(self, member: Signals, included: Bool[np.ndarray, " n"]) -> Scores:
        """A reference attacked by the others: what the attacks say of a model that never saw the samples.

        That holds for the samples that the reference was not trained on; the scores of the others mean nothing.
        """
        rest = replace(
            self,
            confidence=self.confidence.without(member.confidence, included),
            margin=self.margin.without(member.margin, included),
        )
        return rest._scores(member, (self.parts == PARTS.index("unseen")) & ~included)

    def _scores(self, model: Signals, population: Bool[np.ndarray, " n"]) -> Scores:
        z = np.flatnonzero(population)
        return {
            "rmia": rmia.online(model.confidence, self.confidence, z, gamma=self.gamma),
            "lira": lira.online(model.margin, self.margin, variance=self.variance),
            "correctness": model.correct,
            "rmia_offline": rmia.offline(model.confidence, self.confidence, z, a=self.a, gamma=self.gamma),
            "lira_offline": lira.offline(model.margin, self.margin, variance=self.variance),
        }


@dataclass(frozen=True, eq=False)
class Ground:
    """The samples of an audit in the order forget, retain, unseen, and how to read a model's outputs on them."""

    points: Int[np.ndarray, " n"]
    labels: Labels
    parts: Int[np.ndarray, " n"]
    included: Bool[np.ndarray, "models n"]
    settings: AuditSettings

    @classmethod
    def of(cls, pool: Pool, games: Games, settings: AuditSettings) -> Ground:
        """Line the samples of the three parts up."""
        points = np.concatenate([games.parts[name] for name in PARTS])
        parts = np.repeat(np.arange(len(PARTS)), [len(games.parts[name]) for name in PARTS])
        return cls(points, games.classes(points), parts, pool.included[:, points], settings)

    def signals(self, logits: Float[np.ndarray, "pool k"], *, whose: str) -> Signals:
        """Reduce a model's outputs to what attacks read; raises AuditError for NaN and infinity."""
        return read(logits[self.points], self.labels, self.settings, whose=whose)

    def references(self, pool: Pool) -> Iterator[tuple[Signals, np.ndarray]]:
        """Each reference's signals, and which samples it was trained on; one at a time."""
        for place, (logits, row) in enumerate(zip(pool.logits, self.included, strict=True)):
            yield self.signals(logits, whose=f"reference {place}"), row

    def panel(self, pool: Pool) -> Panel:
        """Read every reference once."""
        confidence = moments = Moments.empty(len(self.points))
        first = []
        for signals, row in self.references(pool):
            confidence, moments = confidence.add(signals.confidence, row), moments.add(signals.margin, row)
            if len(first) < rmia.MOST_TARGETS:
                first.append((signals.confidence, row))
        population, gamma = np.flatnonzero(self.parts == PARTS.index("unseen")), self.settings.gamma
        a = rmia.fit_offline_a(first, confidence, population, gamma=gamma)
        return Panel(self.parts, confidence, moments, a, gamma, self.settings.variance)

    def by_part(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of all samples, taken apart."""
        return {name: values[self.parts == place] for place, name in enumerate(PARTS)}
