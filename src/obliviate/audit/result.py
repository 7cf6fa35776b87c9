"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from obliviate.audit.inputs import Role
from obliviate.audit.verdict import Verdict
from obliviate.metrics.intervals import ScorePair


@dataclass(frozen=True, kw_only=True)
class ModelAudit:
    """What the audit found on one model: accuracies, AUCs, gaps, differences and margins in percent.

    Curves are in fractions.
    `attacks` hold AUCs with their 95 % intervals for each attack and game, `rates` the true-positive rate of the game
    FT at fixed false-positive rates (None where the samples cannot resolve it). `difference` is the distance to the
    yardstick with its 90 % interval, for each attack that the verdict rests on (`ft_rmia` …) and for test accuracy; the
    attacks' have one-sided p-values beside it, and what each resolves alone. `utility` holds the figures of the task on
    retained and unseen samples, each beside what it should be (`audit.utility`; in percent, R² and perplexity as they
    are, differences in hundredths), and `damage` what has certainly fallen on retained samples, empty if nothing.
    `worst` is the per-sample view (`audit.worst`): the shares of forget samples among the 1 % and 5 % of unseen samples
    that look most like members, and the most exposed samples. `distances` to retrained models (`audit.distances`),
    `average_gap` without them, `screens`, `klom` and the `competition`'s score (`audit.competition`) are empty or None
    where they were not asked for or cannot be had.
    """

    name: str
    role: Role
    method: str
    seed: int
    settings: dict[str, object]
    accuracy: dict[str, float]
    accuracy_interval: dict[str, list[float]]
    attacks: dict[str, dict[str, dict[str, float]]]
    rates: dict[str, list[dict[str, Any]]]
    average_gap: float | None
    difference: dict[str, dict[str, float]]
    seconds: float | None
    share_of_retraining: float | None
    weights_sha256: str
    verdict: Verdict
    margin: float
    resolution: float
    reason: str
    utility: list[dict[str, Any]]
    damage: str
    worst: dict[str, Any]
    distances: dict[str, dict[str, float]]
    screens: dict[str, dict[str, float]]
    klom: dict[str, dict[str, float]]
    competition: dict[str, Any]
    curves: dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """The audit of every candidate, what it was compared with, and the edges of the margin histograms.

    `controls` say whether the original was told and no retrained model condemned (`audit.controls`): only then can a
    model be acquitted. `floor` says how far models that never saw the forget set differ among themselves. Margins in
    `settings` are in percentage points, like the differences that they bound. `two_sample` says whether forget and
    unseen samples differ by themselves, as references that never saw them show (`metrics.two_sample`; AUC in percent):
    `differs` is a warning that an AUC of 50 is not what to expect. `scores` are RMIA's of forget and of unseen samples
    on every model, by its name.
    """

    settings: dict[str, Any]
    yardstick: Literal["retrained", "references"]
    controls: dict[str, Any]
    floor: dict[str, float | None]
    two_sample: dict[str, Any]
    margin_bins: list[float]
    models: tuple[ModelAudit, ...]
    scores: dict[str, ScorePair] = field(default_factory=dict, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON: all but the scores."""
        result = asdict(replace(self, scores={}))
        del result["scores"]
        return result | {"models": list(result["models"])}
