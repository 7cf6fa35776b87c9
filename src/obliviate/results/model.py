"""One model in results.json: everything that an audit says of it."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue, model_validator

from obliviate.results.attacks import AttackOutcome, TestedDifference
from obliviate.results.roles import Role
from obliviate.results.values import Interval, Unit, Value, Verdict


class Accuracies(Value):
    """The share that a model has right on each part, with its exact (Clopper–Pearson) interval."""

    forget: Interval
    """of the forget set"""
    retain: Interval
    """of the retain set"""
    test: Interval
    """of the unseen samples"""


class UtilityFigure(Value):
    """A figure of utility of a model beside what it should be."""

    figure: str
    """`accuracy`, `balanced accuracy`, `recall of class …` by its name or number (the 20 that fell most), `AUC` (two
    classes), `macro-F1`, `R²`, `perplexity`"""
    part: Literal["retain", "unseen"]
    """on which samples"""
    unit: Unit
    """of `value` and `expected`"""
    value: float
    """of the model"""
    expected: float
    """of what it is compared with"""
    difference: Interval
    """with its 90 % interval, in points; of R² in hundredths, of perplexity in hundredths of its logarithm, negative if
    worse"""
    margin: float
    """what is no loss, in the unit of the difference"""
    resolved: bool
    """whether the samples resolve a loss that matters"""
    lost: bool
    """whether it is certainly lost"""

    @property
    def is_recall(self) -> bool:
        """Whether it is the recall of a class, or of several."""
        return self.figure.startswith("recall of ")


class ExposedSample(Value):
    """A forget sample that looks like a member."""

    name: str
    """its id"""
    label: int | None
    """its class; null without classes"""
    p: float
    """the share of unseen samples that look as much like a member, a fraction"""


class Exposure(Value):
    """The per-sample view of the leading attack."""

    shares: dict[str, Interval]
    """by level: forget samples among the `0.01` and `0.05` of unseen samples that look most like members (expected: 1
    and 5), 95 % Clopper–Pearson"""
    samples: tuple[ExposedSample, ...]
    """the most exposed forget samples, worst first"""


class Distance(Value):
    """Mean distance of a model's outputs to those of the retrained models (for one of them: the others)."""

    js: float
    """Jensen–Shannon divergence in bits"""
    softmax: float
    """L2 distance of softmax outputs"""
    agreement: float
    """share of equal predictions, a fraction"""


class Distances(Value):
    """Distances of outputs on each part."""

    forget: Distance
    """on forget samples"""
    retain: Distance
    """on retain samples"""
    unseen: Distance
    """on unseen samples"""


class Percentiles(Value):
    """A mean and percentiles over samples."""

    mean: float
    """mean"""
    p50: float
    """median"""
    p90: float
    """90th percentile"""
    p95: float
    """95th percentile"""
    p99: float
    """99th percentile"""


class Klom(Value):
    """KL divergence of margins of the forget samples in nats, from shadows."""

    unlearned: Percentiles
    """between shadows that had and forgot a sample and those that never had it"""
    floor: Percentiles
    """between two groups that never had it"""


class Competition(Value):
    """The score of the NeurIPS 2023 unlearning competition, from shadows."""

    models: int
    """models in each group that is compared"""
    shadows_needed: int
    """from how many shadows on it says something"""
    quality: float | None
    """forgetting quality F (0 to 1, higher is better); null where shadows are too few"""
    floor: float | None
    """F of two groups that never had the samples; null likewise"""
    score: float | None
    """F times the ratios of retain and test accuracy to the retrained models; null also without these"""


class RocCurve(Value):
    """The leading attack's ROC of forget against unseen samples, in fractions."""

    fpr: tuple[float, ...]
    """false-positive rates"""
    tpr: tuple[float, ...]
    """true-positive rates"""

    @model_validator(mode="after")
    def _of_one_length(self) -> RocCurve:
        if len(self.fpr) != len(self.tpr):
            raise ValueError(f"as many fpr as tpr, got {len(self.fpr)} and {len(self.tpr)}")
        return self


class MarginDensities(Value):
    """Densities of the margin, the log-odds of the right answer, over `margin_bins`."""

    forget: tuple[float, ...]
    """of forget samples"""
    retain: tuple[float, ...]
    """of retain samples"""
    unseen: tuple[float, ...]
    """of unseen samples"""


class Curves(Value):
    """What plots are drawn from."""

    roc_ft: RocCurve
    """of the leading attack"""
    margins: MarginDensities
    """of the model's answers"""


class ModelResult(Value):
    """What the audit found on one model."""

    name: str
    """its label, which no other model has"""
    role: Role
    """`original`, `retrained` or `unlearned`"""
    method: str
    """the method with all its hyperparameters"""
    seed: int
    """of the training or the method"""
    settings: dict[str, JsonValue]
    """what the method reported, for example the share of adversarial examples found"""
    accuracy: Accuracies
    """on each part"""
    attacks: dict[str, AttackOutcome]
    """by the names of `attacks`; those by shadows only where shadows were made"""
    average_gap: float | None
    """mean absolute difference of the three accuracies and of the leading attack's FT-AUC to the mean of the retrained
    models (for a retrained model: of the others); null without them"""
    test_accuracy_difference: Interval
    """to the baseline, in points, 90 %"""
    utility: tuple[UtilityFigure, ...]
    """every figure of the task"""
    damage: str
    """what has certainly fallen on retained samples, whatever the verdict; empty if nothing has"""
    seconds: float | None
    """time of the training or the method; null where it is not known"""
    share_of_retraining: float | None
    """`seconds` divided by the median time of the retrained models, a fraction"""
    weights_sha256: str
    """hash of parameters and buffers"""
    verdict: Verdict
    """see [evaluation](evaluation.md)"""
    margin: float
    """what counted as no difference, in points of AUC"""
    resolution: float
    """the least margin that these data resolve, in points of AUC"""
    reason: str
    """a sentence with the figures"""
    exposure: Exposure
    """the most exposed samples"""
    distances: Distances | None
    """to retrained models; null without these, or without classes"""
    cheap_attacks: dict[str, Interval]
    """balanced accuracy of each cheap attack, 95 %; empty if not asked for"""
    class_membership: Interval | None
    """where whole classes are forgotten, the share of their unseen samples on which the model answers as the original
    does and not as retrained models, their own class left out, in percent with its interval; null elsewhere, and
    without the original, 2 retrained models and 20 such samples"""
    klom: Klom | None
    """null without shadows"""
    competition: Competition | None
    """null without shadows"""
    curves: Curves
    """for plots"""

    @property
    def damaged(self) -> bool:
        """Whether damage is to be told beside the verdict: "utility lost" says so itself."""
        return bool(self.damage) and self.verdict != "utility lost"

    @property
    def differences(self) -> dict[str, TestedDifference]:
        """The differences that the verdict rests on, by attack."""
        differences = {name: outcome.difference for name, outcome in self.attacks.items()}
        return {name: difference for name, difference in differences.items() if difference is not None}
