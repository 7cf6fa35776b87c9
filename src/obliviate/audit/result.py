"""What an audit found, and the scores that it was found with."""

from __future__ import annotations

from dataclasses import dataclass, field

from obliviate.metrics.intervals import ScorePair
from obliviate.results.schema import Findings, ModelResult


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """The audit of every candidate (`results.schema.Findings`).

    `scores` are the leading attack's of forget and of unseen samples on every model, by its name.
    """

    findings: Findings
    scores: dict[str, ScorePair] = field(default_factory=dict, repr=False, compare=False)

    @property
    def models(self) -> tuple[ModelResult, ...]:
        """What was found on each model, in the order in which they were given."""
        return self.findings.models
