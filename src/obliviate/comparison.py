"""Several audits together: what methods come to over training seeds and forget sets, with intervals over both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import t as student

from obliviate.errors import WorkspaceError
from obliviate.metrics.bootstrap import hierarchical_bootstrap
from obliviate.metrics.intervals import ScorePair
from obliviate.report.wording import number
from obliviate.requests import Requests
from obliviate.results.file import read
from obliviate.results.model import ModelResult
from obliviate.results.schema import Results
from obliviate.results.tabular import Record, Table, Tabular
from obliviate.results.values import Role
from obliviate.workspace import scores
from obliviate.workspace.origin import read_facts
from obliviate.workspace.scores import Scores

SCHEMA: Final = "obliviate.comparison/1"
ENOUGH: Final = 5  # seeds, below which intervals over seeds are coarse


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean over training seeds of means over their forget sets, in percent or points, with its 95 % interval.

    `over` says what the interval is over: seeds, forget sets and samples (the hierarchical bootstrap) or seeds alone
    (Student's t); None, without limits, for a single seed.
    """

    value: float
    low: float | None
    high: float | None
    over: Literal["samples", "seeds"] | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One method, or the original or retrained models, over all `audits` that it is in.

    `ft_auc` is that of the attack that leads, `test_accuracy` the difference to what each audit compares it with;
    `average_gap` is None without retrained models.
    """

    name: str
    role: Role
    audits: int
    seeds: int
    ft_auc: Figure
    average_gap: Figure | None
    test_accuracy: Figure


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Tabular):
    """What `compare` found; `notes` are sentences on what the intervals do not say.

    `print(comparison)` and notebooks show a table; `to_frame()` and `to_csv(path)` have a row for every model.
    """

    seeds: tuple[int, ...]
    audits: int
    models: tuple[Compared, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        names = ", ".join(model.name for model in self.models)
        return f"Comparison({self.audits} audits, seeds {', '.join(map(str, self.seeds))}: {names})"

    def records(self) -> list[Record]:
        """One row of plain numbers per model, in percent or points: means, with their 95 % limits if any."""
        return [_record(model) for model in self.models]

    def table(self) -> Table:
        """Means with their intervals."""
        heads = ("model", "audits", "seeds", "FT-AUC", "gap", "test accuracy", "role")
        rows = [
            (
                model.name,
                str(model.audits),
                str(model.seeds),
                *(_written(figure) for figure in (model.ft_auc, model.average_gap)),
                _written(model.test_accuracy, signed=True),
                model.role,
            )
            for model in self.models
        ]
        return Table(heads=heads, rows=rows, notes=self.notes)

    def to_dict(self) -> dict[str, Any]:
        """A copy made of dicts, lists, strings and numbers, ready for JSON."""
        fields = asdict(self)
        return {"schema": SCHEMA} | {
            key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()
        }


def _record(model: Compared) -> Record:
    record: Record = {"model": model.name, "role": model.role, "audits": model.audits, "seeds": model.seeds}
    figures = {
        "ft_auc": model.ft_auc,
        "average_gap": model.average_gap,
        "test_accuracy_difference": model.test_accuracy,
    }
    for name, figure in figures.items():
        values = (None,) * 3 if figure is None else (figure.value, figure.low, figure.high)
        record |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    return record


def _written(figure: Figure | None, *, signed: bool = False) -> str:
    """A mean with its limits."""
    if figure is None:
        return ""
    limits = "" if figure.low is None else f" ({number(figure.low)} to {number(figure.high)})"
    return number(figure.value, signed=signed) + limits


@dataclass(frozen=True, eq=False)
class _Audit:
    """One audited folder."""

    folder: Path
    results: Results
    facts: Mapping[str, Any]  # of workspace.json
    of_manifests: Mapping[str, Mapping[str, Any]]  # how every model was made, by the hash of its weights
    forget: tuple[str, ...]
    scores: Scores | None

    @classmethod
    def read(cls, folder: Path, request: int | None) -> _Audit:
        facts, requests = read_facts(folder), Requests(folder)
        asked = requests.numbered(request)
        place, again = requests.at(asked.number), f"`obliviate audit --out {folder} --request {asked.number}`"
        if not place.results.exists():
            raise WorkspaceError(f"expected an audited folder, got {folder} without {place.results}; run {again}")
        results = read(place.results, remedy=f"run {again} again")
        settings = {model.manifest.weights_sha256: model.manifest.settings for model in requests.models()}
        return cls(folder, results, facts, settings, tuple(sorted(asked.ids)), scores.read(place.scores))

    @property
    def seed(self) -> int:
        return self.results.seed

    @property
    def kind(self) -> dict[str, Any]:
        """What must be the same in all of them."""
        results, facts = self.results, self.facts
        rule = results.data.forget_rule
        drawn = facts.get("train_size") is not None or facts.get("holdout_size") is not None
        return {
            "data": (results.data.name, results.task.kind, results.task.settings.get("classes")),
            "data_sha256": None if drawn else results.data_sha256,  # parts are drawn by the seed
            **{key: facts.get(key) for key in ("train_size", "holdout_size", "coins", "noise", "noise_scale")},
            "recipe": results.recipe,
            "rule for the forget set": rule if rule.startswith("random") else rule.split()[0],
            "number of references": results.references.models,
            "attack": {attack.name: attack.settings for attack in results.attacks},
            "baseline": results.baseline,
        }

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How the method of every model was set, by the hash of its weights, where its manifest says so.

        What was tuned is set by what it was tuned from, and how: the settings that were chosen are the outcome.
        """
        return {weights: _asked(of_model) for weights, of_model in self.of_manifests.items() if of_model.get("method")}

    def named(self, name: str) -> list[ModelResult]:
        """The models of a row: one, or all retrained ones."""
        return [model for model in self.results.models if _row(model) == name]

    def pair(self, name: str) -> ScorePair | None:
        """The scores of a row that is one model, in the order of the samples' ids; None where there are none."""
        (model, *others) = self.named(name)
        if others or self.scores is None or model.weights_sha256 not in self.scores.of:
            return None
        forget, unseen = self.scores.of[model.weights_sha256]
        return forget[np.argsort(self.scores.forget)], unseen[np.argsort(self.scores.unseen)]


def _asked(settings: Mapping[str, Any]) -> Any:
    if "tune" not in settings:
        return settings["method"]
    return {key: settings.get(key) for key in ("tuned_from", "tune", "taught_by")}


def compare(folders: Sequence[Path | str], *, request: int | None = None) -> Comparison:
    """Compare the methods of several audited folders: means over training seeds and forget sets, with 95 % intervals.

    A folder is one training seed with one forget set, that of its request of this number, the last if left out.
    FT-AUCs have the interval of `hierarchical_bootstrap` over seeds, forget sets and samples, average gaps and
    differences of test accuracy Student's over the means of the seeds.

    Raises WorkspaceError for fewer than 2 folders, folders that were not audited, folders of different kinds (data,
    recipe, kind of forget set, references, attack), one seed and forget set twice, and methods that were set in
    different ways.

    >>> compare(["seed-0"])
    Traceback (most recent call last):
    obliviate.errors.WorkspaceError: expected 2 audited folders or more, got 1; name those of several seeds or ...
    """
    if len(folders) < 2:
        raise WorkspaceError(
            f"expected 2 audited folders or more, got {len(folders)}; name those of several seeds or forget sets"
        )
    audits = [_Audit.read(Path(folder), request) for folder in folders]
    _check(audits)
    rows: dict[str, Role] = {_row(model): model.role for audit in audits for model in audit.results.models}
    order = {"original": 0, "retrained": 1, "unlearned": 2}
    notes: list[str] = []
    models = []
    for name, role in sorted(rows.items(), key=lambda row: order[row[1]]):
        having = [audit for audit in audits if audit.named(name)]
        if len(having) < len(audits):
            notes.append(f"{name} is in {len(having)} of the {len(audits)} audits.")
        models.append(_compared(name, role, having))
    if unscored := [str(audit.folder) for audit in audits if audit.scores is None]:
        notes.append(
            f"The intervals of FT-AUC are over seeds alone: {', '.join(unscored)} was audited before scores were kept; "
            "audit again."
        )
    seeds = tuple(sorted({audit.seed for audit in audits}))
    if len(seeds) == 1:
        notes.append(f"All audits are of the training seed {seeds[0]}: intervals say nothing of other seeds.")
    elif len(seeds) < ENOUGH:
        notes.append(
            f"With {len(seeds)} training seeds intervals are coarse, and those of FT-AUC too narrow: in simulation "
            "95 % covered 80 % at 3 seeds and 90 % at 5."
        )
    return Comparison(seeds=seeds, audits=len(audits), models=tuple(models), notes=tuple(notes))


def _check(audits: Sequence[_Audit]) -> None:
    first = audits[0]
    for place, audit in enumerate(audits):
        if differing := [key for key, value in audit.kind.items() if value != first.kind[key]]:
            raise WorkspaceError(
                f"expected audits of one kind, got {audit.folder} with another {', '.join(differing)} than "
                f"{first.folder}; compare folders that differ in their seeds and forget sets only"
            )
        for other in audits[:place]:
            if (audit.seed, audit.forget) == (other.seed, other.forget):
                raise WorkspaceError(
                    f"expected every training seed with a forget set once, got {other.folder} and {audit.folder} with "
                    "the same; leave one out"
                )
    known: dict[str, tuple[Any, Path]] = {}
    for audit in audits:
        for model in audit.results.models:
            setting = audit.settings.get(model.weights_sha256, model.method)
            before, where = known.setdefault(_row(model), (setting, audit.folder))
            if setting != before:
                raise WorkspaceError(
                    f"expected {model.name} with the same settings everywhere, got {before} in {where} and "
                    f"{setting} in {audit.folder}; leave one of the folders out"
                )


def _row(model: ModelResult) -> str:
    return "retrained" if model.role == "retrained" else model.name


def _compared(name: str, role: Role, audits: Sequence[_Audit]) -> Compared:
    by_seed: dict[int, list[_Audit]] = {}
    for audit in sorted(audits, key=lambda audit: (audit.seed, audit.forget)):
        by_seed.setdefault(audit.seed, []).append(audit)
    groups = list(by_seed.values())

    def over_seeds(figure: Callable[[Results, ModelResult], float]) -> Figure:
        values = [
            [[figure(audit.results, model) for model in audit.named(name)] for audit in group] for group in groups
        ]
        return _student([float(np.mean([np.mean(models) for models in sets])) for sets in values])

    with_gaps = all(model.average_gap is not None for audit in audits for model in audit.named(name))
    return Compared(
        name=name,
        role=role,
        audits=len(audits),
        seeds=len(groups),
        ft_auc=_bootstrapped(name, groups) or over_seeds(lambda results, model: results.leading(model).ft.value),
        average_gap=over_seeds(lambda _, model: model.average_gap or 0.0) if with_gaps else None,
        test_accuracy=over_seeds(lambda _, model: model.test_accuracy_difference.value),
    )


def _bootstrapped(name: str, groups: Sequence[Sequence[_Audit]]) -> Figure | None:
    """FT-AUC with the interval over all levels; None where some scores were not kept."""
    pairs: list[list[ScorePair]] = []
    for group in groups:
        scored = [pair for audit in group if (pair := audit.pair(name)) is not None]
        if len(scored) < len(group):
            return None
        pairs.append(scored)
    samples = [
        [(audit.forget, audit.scores and tuple(np.sort(audit.scores.unseen))) for audit in group] for group in groups
    ]
    crossed = len(groups) > 1 and all(of_seed == samples[0] for of_seed in samples)
    mean = hierarchical_bootstrap(pairs, crossed=crossed)
    return Figure(value=100 * mean.value, low=100 * mean.low, high=100 * mean.high, over="samples")


def _student(values: Sequence[float]) -> Figure:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Figure(value=mean, low=None, high=None, over=None)
    half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Figure(value=mean, low=mean - half, high=mean + half, over="seeds")
