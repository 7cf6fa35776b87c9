"""What single audits say of models, taken together: means over training seeds and forget sets, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import t as student

from obliviate._util.files import writable_folder, write_atomically, write_json
from obliviate.metrics.bootstrap import hierarchical_bootstrap
from obliviate.metrics.intervals import ScorePair
from obliviate.report.wording import number
from obliviate.results.model import ModelResult
from obliviate.results.roles import Role
from obliviate.results.tabular import Record, Table, Tabular

SCHEMA: Final = "obliviate.comparison/2"
ENOUGH: Final = 5  # seeds, below which intervals over seeds are coarse
FIGURES: Final = (
    "ft_auc",
    "average_gap",
    "forget_accuracy",
    "retain_accuracy",
    "test_accuracy",
    "test_accuracy_difference",
    "seconds",
    "cost",
)
"""The figures of a row, in the order of tables."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean over training seeds of means over their forget sets, with its 95 % interval.

    It is in percent or points, `seconds` in seconds. `over` says what the interval is over: seeds, forget sets and
    samples (the hierarchical bootstrap) or seeds alone (Student's t); None, without limits, for a single seed.
    """

    value: float
    low: float | None
    high: float | None
    over: Literal["samples", "seeds"] | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one audit says of one row of a table: a model, or all the retrained ones.

    `seed` is that of the training of the original, `forget` are the ids of its forget set, sorted, and `unseen` tells
    sets of unseen samples apart; `attack` leads the audit, and `pair` are its scores, in the order of the samples' ids,
    where the row is one model and they were kept. `failed` says why there is no model, "" where there is.
    """

    name: str
    role: Role
    seed: int
    forget: tuple[str, ...]
    unseen: str = ""
    attack: str = ""
    models: tuple[ModelResult, ...] = ()
    pair: ScorePair | None = None
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One method, or the original or retrained models, over all `audits` that it is in.

    `ft_auc` is that of the attack that leads; accuracies are in percent, `test_accuracy_difference` is the difference
    to what each audit compares the model with, in points. `cost` is the time of the method in percent of a retraining.
    `average_gap` and `cost` are None without retrained models, `seconds` where no time is known. `verdicts` counts the
    verdicts of its models, and how many are "damaged" besides; `failed` counts the audits in which the method came to
    nothing, which no figure is over. All figures are None where that was so in all of them.
    """

    name: str
    role: Role
    audits: int
    seeds: int
    ft_auc: Figure | None
    average_gap: Figure | None
    forget_accuracy: Figure | None
    retain_accuracy: Figure | None
    test_accuracy: Figure | None
    test_accuracy_difference: Figure | None
    seconds: Figure | None
    cost: Figure | None
    verdicts: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0

    def record(self) -> Record:
        """The row in plain columns: a figure is its value and its limits, a verdict its count."""
        columns: Record = {"model": self.name}
        columns |= {key: getattr(self, key) for key in ("role", "audits", "seeds", "failed")}
        for name in FIGURES:
            figure: Figure | None = getattr(self, name)
            for part, key in (("value", name), ("low", f"{name}_low"), ("high", f"{name}_high")):
                columns[key] = None if figure is None else getattr(figure, part)
        return columns | {"verdicts": "; ".join(f"{count} × {verdict}" for verdict, count in self.verdicts.items())}


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Tabular):
    """What several audits come to; `notes` are sentences on what the intervals do not say.

    `title` says what they have in common, in a few words. `print(comparison)` and notebooks show a table; `to_frame()`
    and `to_csv(path)` have a row for every model.
    """

    seeds: tuple[int, ...]
    audits: int
    models: tuple[Compared, ...]
    notes: tuple[str, ...]
    title: str = ""

    def __repr__(self) -> str:
        names = ", ".join(model.name for model in self.models)
        return f"Comparison({self.audits} audits, seeds {', '.join(map(str, self.seeds))}: {names})"

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON."""
        fields = asdict(self)
        return {"schema": SCHEMA} | {
            key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()
        }

    def records(self) -> list[Record]:
        """One row of plain values per model (`Compared.record`)."""
        return [{"forget": self.title} | model.record() for model in self.models]

    def table(self) -> Table:
        """Means with their intervals."""
        heads = ("model", "audits", "seeds", "FT-AUC", "gap", "test difference", "cost %", "verdicts")
        rows = [
            (
                model.name,
                str(model.audits),
                str(model.seeds),
                *(_written(figure) for figure in (model.ft_auc, model.average_gap)),
                _written(model.test_accuracy_difference, signed=True),
                _written(model.cost),
                ", ".join(f"{count} × {verdict}" for verdict, count in model.verdicts.items()),
            )
            for model in self.models
        ]
        return Table(heads=heads, rows=rows, notes=self.notes)

    def to_svg(self) -> str:
        """The table as a picture: FT-AUC and accuracy on the forget set, cost and average gap."""
        from obliviate.comparison.plot import svg

        return svg([self])

    def write(self, folder: Path | str) -> Path:
        """Write `comparison.json`, `comparison.csv` and `comparison.svg` into a folder, and return it.

        Raises WorkspaceError where that cannot be written to.
        """
        return write(Path(folder), "comparison", self.to_dict(), self.to_csv(), self.to_svg())


def _written(figure: Figure | None, *, signed: bool = False) -> str:
    """A mean with its limits."""
    if figure is None:
        return ""
    limits = "" if figure.low is None else f" ({number(figure.low)} to {number(figure.high)})"
    return number(figure.value, signed=signed) + limits


def write(folder: Path, name: str, values: Mapping[str, Any], table: str, picture: str) -> Path:
    """Write a table as NAME.json, NAME.csv and NAME.svg, each in one step, and return the folder."""
    texts = {"csv": table, "svg": picture}
    writable_folder(folder)
    write_json(folder / f"{name}.json", values)
    for ending, text in texts.items():
        write_atomically(
            folder / f"{name}.{ending}", lambda temporary, text=text: temporary.write_text(text, encoding="utf-8")
        )
    return folder


def combined(outcomes: Sequence[Outcome], *, title: str = "", notes: Sequence[str] = ()) -> Comparison:
    """Take the outcomes of audits together, row by row: the original, retrained models, then the methods.

    FT-AUCs have the interval of `hierarchical_bootstrap` over seeds, forget sets and samples, all other figures
    Student's over the means of the seeds.
    """
    order = {"original": 0, "retrained": 1, "unlearned": 2}
    audits = {(outcome.seed, outcome.forget) for outcome in outcomes}
    remarks, models = [], []
    rows: dict[str, Role] = {outcome.name: outcome.role for outcome in outcomes}
    for name, role in sorted(rows.items(), key=lambda row: order[row[1]]):
        having = [outcome for outcome in outcomes if outcome.name == name]
        if len(having) < len(audits):
            remarks.append(f"{name} is in {len(having)} of the {len(audits)} audits.")
        if reasons := Counter(outcome.failed for outcome in having if outcome.failed):
            listed = "; ".join(f"{count} × {reason}" for reason, count in reasons.items())
            remarks.append(f"{name} came to nothing in {sum(reasons.values())} of {len(having)} audits: {listed}")
        models.append(_compared(name, role, having))
    seeds = tuple(sorted({seed for seed, _ in audits}))
    remarks += notes
    if len(seeds) == 1:
        remarks.append(f"All audits are of the training seed {seeds[0]}: intervals say nothing of other seeds.")
    elif len(seeds) < ENOUGH:
        remarks.append(
            f"With {len(seeds)} training seeds intervals are coarse, and those of FT-AUC too narrow: in simulation "
            "95 % covered 80 % at 3 seeds and 90 % at 5."
        )
    return Comparison(seeds=seeds, audits=len(audits), models=tuple(models), notes=tuple(remarks), title=title)


def _compared(name: str, role: Role, outcomes: Sequence[Outcome]) -> Compared:
    by_seed: dict[int, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.seed, outcome.forget)):
        if not outcome.failed:
            by_seed.setdefault(outcome.seed, []).append(outcome)
    groups = list(by_seed.values())

    def over_seeds(figure: Callable[[ModelResult], float | None]) -> Figure | None:
        means = []
        for group in groups:
            values = [[figure(model) for model in outcome.models] for outcome in group]
            measured = [[value for value in models if value is not None] for models in values]
            if any(len(some) < len(models) for some, models in zip(measured, values, strict=True)):
                return None
            means.append(float(np.mean([np.mean(models) for models in measured])))
        return _student(means) if means else None

    attacks = {id(model): outcome.attack for outcome in outcomes for model in outcome.models}
    verdicts: Counter[str] = Counter()
    for model in (model for group in groups for outcome in group for model in outcome.models):
        verdicts[model.verdict] += 1
        verdicts["damaged"] += model.damaged
    return Compared(
        name=name,
        role=role,
        audits=len(outcomes),
        seeds=len({outcome.seed for outcome in outcomes}),
        ft_auc=_bootstrapped(groups) or over_seeds(lambda model: model.attacks[attacks[id(model)]].ft.value),
        average_gap=over_seeds(lambda model: model.average_gap),
        forget_accuracy=over_seeds(lambda model: model.accuracy.forget.value),
        retain_accuracy=over_seeds(lambda model: model.accuracy.retain.value),
        test_accuracy=over_seeds(lambda model: model.accuracy.test.value),
        test_accuracy_difference=over_seeds(lambda model: model.test_accuracy_difference.value),
        seconds=over_seeds(lambda model: model.seconds),
        cost=over_seeds(_cost),
        verdicts={verdict: count for verdict, count in verdicts.most_common() if count},
        failed=sum(bool(outcome.failed) for outcome in outcomes),
    )


def _cost(model: ModelResult) -> float | None:
    return None if model.share_of_retraining is None else 100 * model.share_of_retraining


def _bootstrapped(groups: Sequence[Sequence[Outcome]]) -> Figure | None:
    """FT-AUC with the interval over all levels; None where some scores were not kept."""
    pairs = [[outcome.pair for outcome in group if outcome.pair is not None] for group in groups]
    if not groups or any(len(scored) < len(group) for scored, group in zip(pairs, groups, strict=True)):
        return None
    samples = [[(outcome.forget, outcome.unseen) for outcome in group] for group in groups]
    crossed = len(groups) > 1 and all(of_seed == samples[0] for of_seed in samples)
    mean = hierarchical_bootstrap(pairs, crossed=crossed)
    return Figure(value=100 * mean.value, low=100 * mean.low, high=100 * mean.high, over="samples")


def _student(values: Sequence[float]) -> Figure:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Figure(value=mean, low=None, high=None, over=None)
    half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Figure(value=mean, low=mean - half, high=mean + half, over="seeds")
