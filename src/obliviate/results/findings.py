"""What an audit found, in results.json: how it was made, what models were compared with, and what came of each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from obliviate.results.attacks import AttackOutcome, AttackUsed
from obliviate.results.model import ModelResult
from obliviate.results.roles import Role
from obliviate.results.values import Baseline, Interval, Value


class Settings(Value):
    """How an audit was made."""

    confidence: float
    """of intervals, a fraction"""
    margin: float | None
    """set before the audit, or null: every verdict is made at what the data resolve"""
    utility_margin: float
    """how much of accuracy, recall and their like may be lost"""
    one_sided: bool
    """whether the baseline could show leaks only: references alone, and forget samples of a kind"""
    cheap_attacks: bool
    """whether cheap attacks were asked for"""
    references: int
    """number of reference models"""
    forget: int
    """number of forget samples"""
    retain: int
    """number of retain samples"""
    unseen: int
    """number of unseen samples"""


class Controls(Value):
    """Whether the audit can tell: the original must be told, and no retrained model condemned."""

    passed: bool
    """whether a model may be acquitted"""
    reason: str
    """why not; empty if it may"""
    original: bool | None
    """whether the original was told; null where there is none"""
    condemned: tuple[str, ...]
    """names of retrained models that were condemned"""
    ceilings: dict[str, float]
    """by attack: half of the original's largest difference, in points, below which a model must be shown to lie; empty
    beside a margin that was set before"""
    samples_needed: int | None
    """about how many forget samples would tell the original; null where that is not the matter or no number would"""
    models_needed: int | None
    """the same of retrained models"""


class Floor(Value):
    """How far models that never saw the forget set lie apart."""

    average_gap_mean: float | None
    """of the retrained models among themselves; null without them"""
    average_gap_max: float | None
    """the largest of these"""
    ft_auc_min: float
    """the leading attack's least FT-AUC of models that never saw the forget set: retrained ones, else references"""
    ft_auc_max: float
    """the greatest"""
    retrained: int
    """how many retrained models are the baseline"""


class TwoSample(Value):
    """Whether forget and unseen samples differ by themselves, for models that saw neither."""

    auc: Interval | None
    """how well a classifier tells them apart; null for too few samples"""
    p_value: float | None
    """of no difference, by permutation, a fraction"""
    differs: bool | None
    """a warning that an FT-AUC of 50 is not to be expected"""


class Findings(Value):
    """What an audit found: how it was made, what models were compared with, and what came of each."""

    settings: Settings
    """how the audit was made"""
    attacks: tuple[AttackUsed, ...]
    """the attacks; the first that verdicts rest on leads: curves, gaps, the floor and exposed samples are its own"""
    baseline: Baseline
    """what models were compared with: `retrained` models, or `references` on the samples that each never saw"""
    controls: Controls
    """what nobody is acquitted without"""
    floor: Floor
    """what chance alone gives"""
    two_sample: TwoSample
    """a warning"""
    margin_bins: tuple[float, ...]
    """edges of the histograms in `curves.margins`"""
    models: Annotated[tuple[ModelResult, ...], Field(min_length=1)]
    """the models that were audited, at least one"""

    @model_validator(mode="after")
    def _fits_together(self) -> Findings:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"distinct names of models, got {names}")
        if not any(attack.use == "verdict" for attack in self.attacks):
            raise ValueError("an attack that verdicts rest on, got none")
        for model in self.models:
            if self.lead.name not in model.attacks:
                raise ValueError(f"{self.lead.name} on every model, got {model.name} without")
            if {len(self.margin_bins) - 1} != {len(heights) for _, heights in model.curves.margins}:
                raise ValueError(f"a density for each of the margin_bins, got others of {model.name}")
        return self

    @property
    def lead(self) -> AttackUsed:
        """The attack whose FT-AUC stands in tables."""
        return next(attack for attack in self.attacks if attack.use == "verdict")

    def leading(self, model: ModelResult) -> AttackOutcome:
        """What the leading attack found on a model."""
        return model.attacks[self.lead.name]

    def of_role(self, role: Role) -> list[ModelResult]:
        """The models that play a part, in order."""
        return [model for model in self.models if model.role == role]

    @property
    def titles(self) -> dict[str, str]:
        """What attacks are called, by their names."""
        return {attack.name: attack.title for attack in self.attacks}
