"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from obliviate.audit.inputs import Role
from obliviate.audit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class ModelAudit:
    """What the audit found on one model: accuracies, AUCs, gaps, differences and margins in percent.

    Curves are in fractions.
    `average_gap` is None without retrained models. `difference` holds, for each decisive attack (`ft_rmia` …) and for
    test accuracy, the distance to the yardstick with its 90 % interval.
    """

    name: str
    role: Role
    method: str
    seed: int
    settings: dict[str, object]
    accuracy: dict[str, float]
    accuracy_interval: dict[str, list[float]]
    attacks: dict[str, dict[str, dict[str, float]]]
    average_gap: float | None
    difference: dict[str, dict[str, float]]
    seconds: float | None
    share_of_retraining: float | None
    weights_sha256: str
    verdict: Verdict
    margin: float
    resolution: float
    reason: str
    curves: dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """The audit of every candidate, what it was compared with, and the edges of the margin histograms.

    `floor` says how far models that never saw the forget set differ among themselves. Margins in `settings` are in
    percentage points, like the differences that they bound.
    """

    settings: dict[str, Any]
    yardstick: Literal["retrained", "references"]
    floor: dict[str, float | None]
    margin_bins: list[float]
    models: tuple[ModelAudit, ...]

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON."""
        result = asdict(self)
        return result | {"models": list(result["models"])}
