"""A candidate with what attacks and figures of utility say of it, and the verdict on that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from obliviate.audit.comparison import Comparison
from obliviate.audit.controls import Controls
from obliviate.audit.inputs import AuditSamples, AuditSettings
from obliviate.audit.scored import Scored
from obliviate.audit.utility import Utility
from obliviate.audit.verdict import CERTAIN, LEVEL, Evidence, Judgement, Margins, Usefulness, judge


@dataclass(frozen=True, eq=False)
class Context:
    """What every candidate is looked at with."""

    settings: AuditSettings
    comparison: Comparison
    seconds: float | None  # of one retraining
    bins: np.ndarray
    samples: AuditSamples
    one_sided: bool  # whether the baseline can convict but not acquit
    unlike: bool  # whether it can do neither
    useful: np.ndarray | None  # retain and test accuracy of the retrained models, None without any

    def kept_by(self, scored: Scored) -> float | None:
        """The share of the retrained models' retain and test accuracy that a model has; None without any."""
        return None if self.useful is None else float((scored.useful / self.useful).prod())

    @property
    def names(self) -> np.ndarray:
        """What the forget samples are called."""
        forget = self.samples.forget
        return forget.astype(str) if self.samples.ids is None else self.samples.ids[forget]


@dataclass(frozen=True, eq=False)
class Examined:
    """A candidate with what the attacks and the figures of utility say of it."""

    scored: Scored
    evidence: list[Evidence]
    utility: Utility

    @classmethod
    def of(cls, scored: Scored, context: Context) -> Examined:
        utility = context.comparison.utility(scored, context.settings.utility_margin)
        return cls(scored, context.comparison.evidence(scored), utility)

    def judged(self, usefulness: Usefulness, context: Context, controls: Controls | None = None) -> Judgement:
        """The verdict; one audit in a hundred condemns any of its retrained models by chance."""
        comparison = context.comparison
        alike = len(comparison.retrained) if self.scored.candidate.role == "retrained" else 0
        return judge(
            self.evidence,
            usefulness,
            Margins(preset=context.settings.margin),
            baseline="the retrained models" if comparison.paired else "references that never saw it",
            one_sided=context.one_sided,
            unlike=context.unlike,
            uncontrolled="" if controls is None else controls.reason,
            ceilings={} if controls is None else controls.ceilings,
            level=CERTAIN / alike if alike else LEVEL,
        )
