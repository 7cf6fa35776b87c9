"""The types of results.json. Its documentation and its JSON Schema (docs/results-schema.md) are made from them.

Accuracies, AUCs, rates, shares, gaps, differences, margins and resolutions are in percent or percentage points, times
in seconds. What is not known, was not asked for or cannot be had is None or empty, and never left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

SCHEMA: Final = "obliviate.results/5"

Role = Literal["original", "retrained", "unlearned"]
"""The part that a model plays in an audit."""
Verdict = Literal[
    "consistent with retraining", "leaks", "over-unlearned", "utility lost", "not resolvable with these data"
]
Part = Literal["forget", "retain", "unseen"]
Use = Literal["verdict", "figure", "cheap"]
"""What an attack is for: verdicts rest on it, its AUCs are shown beside them, or it looks at one model only."""
Baseline = Literal["retrained", "references"]
Unit = Literal["percent", "R²", "perplexity"]
Picture = Annotated[str, Field(pattern=r"^data:image/png;base64,[A-Za-z0-9+/]+={0,2}$")]
"""A PNG file inside the text, so that a page that shows it asks for nothing outside."""
PASSED: Final[Verdict] = "consistent with retraining"


class _Value(BaseModel):
    """Immutable, without unknown fields, NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, populate_by_name=True
    )


class Interval(_Value):
    """A figure with its confidence limits, at `settings.confidence` unless another level is told.

    >>> Interval(value=50, low=48, high=52).half
    2.0
    """

    value: float
    """the estimate"""
    low: float
    """lower limit"""
    high: float
    """upper limit"""

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


class TestedDifference(Interval):
    """A difference of AUCs to the baseline in points with its 90 % interval, and how sure it is."""

    __test__ = False

    p_above: float
    """one-sided p-value of "no higher than models that never saw the forget set", a fraction"""
    p_below: float
    """one-sided p-value of "no lower", a fraction"""
    resolution: float
    """the margin that the attack resolves alone"""


class Rate(_Value):
    """The true-positive rate of the game forget against unseen at a fixed false-positive rate."""

    fpr: float
    """the false-positive rate asked for"""
    unseen_needed: int
    """from how many unseen samples on it is resolved"""
    tpr: Interval | None
    """true-positive rate there, 95 % Clopper–Pearson; null where the samples are too few"""
    realised_fpr: Interval | None
    """false-positive rate on unseen samples that did not set the threshold; null likewise"""


class AttackOutcome(_Value):
    """What one attack found on one model: AUCs of its games with DeLong's intervals."""

    ft: Interval
    """forget against unseen samples"""
    fr: Interval | None = None
    """retain against forget samples; null for attacks by shadows, which have no retain samples"""
    rt: Interval | None = None
    """retain against unseen samples; null likewise"""
    difference: TestedDifference | None = None
    """of `ft` to the baseline; null for attacks that no verdict rests on"""
    rates: tuple[Rate, ...] = ()
    """true-positive rates at 1 and 0.1 % false positives, of attacks with references that verdicts rest on"""


class Accuracies(_Value):
    """The share that a model has right on each part, with its exact (Clopper–Pearson) interval."""

    forget: Interval
    """of the forget set"""
    retain: Interval
    """of the retain set"""
    test: Interval
    """of the unseen samples"""


class UtilityFigure(_Value):
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


class ExposedSample(_Value):
    """A forget sample that looks like a member."""

    name: str
    """its id"""
    label: int | None
    """its class; null without classes"""
    p: float
    """the share of unseen samples that look as much like a member, a fraction"""


class Exposure(_Value):
    """The per-sample view of the leading attack."""

    shares: dict[str, Interval]
    """by level: forget samples among the `0.01` and `0.05` of unseen samples that look most like members (expected: 1
    and 5), 95 % Clopper–Pearson"""
    samples: tuple[ExposedSample, ...]
    """the most exposed forget samples, worst first"""


class Distance(_Value):
    """Mean distance of a model's outputs to those of the retrained models (for one of them: the others)."""

    js: float
    """Jensen–Shannon divergence in bits"""
    softmax: float
    """L2 distance of softmax outputs"""
    agreement: float
    """share of equal predictions, a fraction"""


class Distances(_Value):
    """Distances of outputs on each part."""

    forget: Distance
    """on forget samples"""
    retain: Distance
    """on retain samples"""
    unseen: Distance
    """on unseen samples"""


class Percentiles(_Value):
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


class Klom(_Value):
    """KL divergence of margins of the forget samples in nats, from shadows."""

    unlearned: Percentiles
    """between shadows that had and forgot a sample and those that never had it"""
    floor: Percentiles
    """between two groups that never had it"""


class Competition(_Value):
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


class RocCurve(_Value):
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


class MarginDensities(_Value):
    """Densities of the margin, the log-odds of the right answer, over `margin_bins`."""

    forget: tuple[float, ...]
    """of forget samples"""
    retain: tuple[float, ...]
    """of retain samples"""
    unseen: tuple[float, ...]
    """of unseen samples"""


class Curves(_Value):
    """What plots are drawn from."""

    roc_ft: RocCurve
    """of the leading attack"""
    margins: MarginDensities
    """of the model's answers"""


class ModelResult(_Value):
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
        found = {name: outcome.difference for name, outcome in self.attacks.items()}
        return {name: difference for name, difference in found.items() if difference is not None}


class AttackUsed(_Value):
    """An attack of an audit."""

    name: str
    """its name in the registry"""
    title: str
    """its name in the literature"""
    source: str
    """the publication"""
    use: Use
    """`verdict`: verdicts rest on it; `figure`: it is shown beside them; `cheap`: a cheap look at one model"""
    settings: dict[str, JsonValue]
    """its settings"""
    fitted: dict[str, JsonValue]
    """settings that were fitted on the references"""


class Settings(_Value):
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


class Controls(_Value):
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


class Floor(_Value):
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


class TwoSample(_Value):
    """Whether forget and unseen samples differ by themselves, for models that saw neither."""

    auc: Interval | None
    """how well a classifier tells them apart; null for too few samples"""
    p_value: float | None
    """of no difference, by permutation, a fraction"""
    differs: bool | None
    """a warning that an FT-AUC of 50 is not to be expected"""


class Findings(_Value):
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


class TaskFacts(_Value):
    """The task of the models."""

    kind: str
    """`classification`, `regression`, …"""
    right: str
    """what counts as right, in a few words"""
    settings: dict[str, JsonValue]
    """for classification `classes` and `input_range`, …"""


class DataFacts(_Value):
    """The data and their parts, in numbers of samples."""

    name: str
    """of the data"""
    forget_rule: str
    """how the forget set was chosen"""
    train: int
    """forget and retain set"""
    forget: int
    """the forget set"""
    retain: int
    """the retain set"""
    holdout: int
    """samples held out for methods"""
    test: int
    """the unseen samples"""


class ReferenceFacts(_Value):
    """The reference pool."""

    models: int
    """number of references"""
    seconds: float
    """time of all of them together"""
    fingerprint: str
    """of what it was trained on"""


class Machine(_Value):
    """Where it was computed."""

    cpu: str
    """processor"""
    cores: int | None
    """number of its cores"""
    system: str
    """operating system"""


class CoinTest(_Value):
    """What guessing the coins by one model came to: an exact test that needs no other model."""

    name: str
    """the model's"""
    role: Role
    """the model's"""
    trials: int
    """number of coins"""
    correct: int
    """number of right guesses"""
    accuracy: float
    """their share"""
    low: float
    """lower limit of the share, 95 % Clopper–Pearson"""
    high: float
    """upper limit"""
    p_value: float
    """one-sided and exact, against one half; a fraction"""
    calibrated: bool
    """whether the mean margin of retrained models was subtracted from the model's own"""


class CoinFlips(_Value):
    """The tests of all models where coins were tossed before training and the heads are forgotten."""

    heads: int
    """samples that were trained on and forgotten"""
    tails: int
    """samples that were never seen"""
    power: float
    """to find, at level 5 %, guesses that are right in 55 % of cases; a fraction"""
    models: tuple[CoinTest, ...]
    """one for each model"""


class NoiseFound(_Value):
    """What one model still knows of planted noise."""

    name: str
    """the model's"""
    role: Role
    """the model's"""
    mean: float
    """mean score"""
    z: float
    """standard normal for a model that never saw the noise"""
    p_value: float
    """one-sided and exact, a fraction"""


class PlantedNoise(_Value):
    """The tests of all models where noise was planted before training and its samples are forgotten."""

    samples: int
    """samples with noise"""
    sigma: float
    """scale of the noise, in units of the inputs"""
    detectable: float
    """the least mean score that is found, at level 5 %, with 80 % power"""
    models: tuple[NoiseFound, ...]
    """one for each model that could be tested"""
    notes: tuple[str, ...]
    """which models could not be tested, and why"""


class Results(Findings):
    """The content of results.json: what an audit found, and where it comes from."""

    schema_: Annotated[Literal["obliviate.results/5"], Field(alias="schema")] = SCHEMA
    """name and version of this schema"""
    obliviate: str
    """version of the package"""
    created: str
    """time (UTC)"""
    seed: int
    """of the folder"""
    command: str | None = None
    """what repeats it, where one command does"""
    task: TaskFacts
    """what the models are for"""
    data: DataFacts
    """what they were trained on"""
    data_sha256: str
    """hash of ids and content of all parts"""
    recipe: dict[str, JsonValue]
    """what reproduces the training"""
    references: ReferenceFacts
    """the reference pool"""
    wall_seconds: float
    """of the command that wrote the file"""
    peak_rss_mb: float
    """memory of that command: itself plus its largest child process"""
    versions: dict[str, str]
    """of Python and libraries"""
    machine: Machine
    """where it was computed"""
    coin_flips: CoinFlips | None = None
    """null where no coins were tossed, or others than these samples are forgotten"""
    planted_noise: PlantedNoise | None = None
    """null where no noise was planted, or others than these samples are forgotten"""
    notes: tuple[str, ...] = ()
    """plain sentences: what was asked for and could not be done, such as shadows of a method that has none"""
    pictures: dict[str, Picture] = Field(default_factory=dict)
    """the samples of `exposure.samples` that the report shows, by name, where they are images"""
    limits: tuple[str, ...]
    """plain sentences: what was not proven"""

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings, numbers and None: what stands in the file."""
        return self.model_dump(mode="json", by_alias=True)


def exposed_names(models: Sequence[ModelResult], shown: int) -> list[str]:
    """The names of the `shown` most exposed samples of every model that was trained on the forget set, each once."""
    found = [model.exposure.samples[:shown] for model in models if model.role != "retrained"]
    return list(dict.fromkeys(sample.name for samples in found for sample in samples))
