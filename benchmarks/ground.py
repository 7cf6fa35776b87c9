"""What the benchmarks stand on: models that are kept, methods run beside a yardstick of their cost, and figures."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from common import ranged, spread, table
from torch import nn

from obliviate import workflow
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.data.rules import random_ids
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods.base import Method, settle
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.results.model import ModelResult
from obliviate.task import Task
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.workflow import Evaluation, TrainedModel, models
from obliviate.workspace import Portion, Workspace

COLUMNS = {
    "forget %": ("forget", 1),
    "retain %": ("retain", 1),
    "test %": ("test", 1),
    "FT-AUC": ("ft_auc", 1),
    "average gap": ("average_gap", 2),
    "share of a retraining, %": ("share_of_retraining", 1),
}
"""Titles of the tables' columns, with the figure of `figures` and its decimals."""
PACE: Final = 2000  # samples of the piece of training that a cost is compared with
Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Trains and unlearns by one recipe, and keeps what is dear to make.

    A method's cost is its processor time, of one thread, as a share of a retraining's; on a GPU the time that passes.
    Other work on the machine slows both down, so the yardstick is taken anew beside every method: a piece of a training
    by the recipe.
    """

    recipe: Recipe
    task: Task
    train: Samples
    pace: int = PACE

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        self._pace()  # the first training of a process loads libraries, which is no part of any cost

    def unlearn(
        self,
        model: nn.Module,
        split: Split,
        method: Method,
        *,
        seed: int,
        name: str = "",
        pool: ReferencePool | None = None,
    ) -> TrainedModel:
        """Run a method, which may learn from a pool; its notes hold `share_of_retraining`."""
        paces = [self._pace()]
        began = seconds()
        unlearned = workflow.unlearn(
            workflow.TrainedModel.given(model, self.task, recipe=self.recipe),
            split,
            method,
            seed=seed,
            teachers=pool,
            measure=None,
        ).named(name)
        spent = seconds() - began
        paces.append(self._pace())
        retained = len(self.train) - len(split.forget)  # the method may have been given no retain set
        share = spent / (statistics.fmean(paces) * retained * self.recipe.epochs)
        return replace(unlearned, seconds=spent, notes={**unlearned.notes, "share_of_retraining": share})

    def tune(
        self, original: TrainedModel, split: Split, method: Method, *, seed: int, pool: ReferencePool
    ) -> TrainedModel:
        """Choose a method's rate and length by what a pool says; `share_of_retraining` is that of all trials."""
        paces = [self._pace()]
        began = seconds()
        tuned = workflow.tune(original, split, method, teachers=pool, seed=seed)
        spent = seconds() - began
        paces.append(self._pace())
        share = spent / (statistics.fmean(paces) * (len(self.train) - len(split.forget)) * self.recipe.epochs)
        notes = {"share_of_retraining": share, "trials": float(len(tuned.trials))}
        return replace(tuned.trained, notes={**tuned.trained.notes, **notes})

    def kept(self, path: Path, samples: Samples, make: Callable[[], TrainedModel]) -> TrainedModel:
        """The model of this file; made of the samples and written if it is not there."""
        if path.exists():
            return models.read(path, self.task, self.recipe)[0]
        trained = make()
        models.save(path, trained, data_sha256=samples.sha256, ids=samples.ids.tolist())
        return trained

    def _pace(self) -> float:
        """Processor seconds that the recipe takes per sample and epoch, now."""
        few = self.train.select(self.train.ids[: self.pace])
        began = seconds()
        Run(self.task, recipe=replace(self.recipe, epochs=1)).train(few)
        return (seconds() - began) / len(few)


class Ground:
    """An original model of one seed, and whatever methods make of it on random forget sets.

    Models that are dear to make (the original, the references, the retrained ones) are kept in `folder`; references of
    another ground with the same data and recipe can be given as `pool`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: str,
        recipe: Recipe,
        seed: int,
        train_size: int | None = None,
        holdout_size: int | None = None,
        references: int = 16,
        retrained: int = 3,
        workers: int | None = None,
        pool: ReferencePool | None = None,
    ) -> None:
        self.folder, self.recipe, self.seed, self.count = folder, recipe, seed, retrained
        self.workspace = Workspace.create(
            folder / "model",
            source=source,
            recipe=recipe,
            seed=seed,
            portion=Portion(train_size=train_size, holdout_size=holdout_size),
        )
        self.data, self.task = self.workspace.data, self.workspace.task
        self.bench = Bench(recipe=recipe, task=self.task, train=self.data.train)
        self.original = self.workspace.train()
        self.pool = pool or workflow.train_references(
            Experiment(self.task, recipe, self.data.train, self.data.test, seed=seed),
            folder=folder / "references",
            models=references,
            workers=workers,
        )
        self._requests: dict[tuple[float, int], Request] = {}

    def request(self, share: float, forget_seed: int, *, retrained: int | None = None) -> Request:
        """A random forget set with its retrained models."""
        key = (share, forget_seed)
        if key not in self._requests:
            self._requests[key] = Request(self, *key, retrained or self.count)
        return self._requests[key]

    def unlearn(self, method: Method, split: Split, *, seed: int, name: str = "") -> TrainedModel:
        """Run a method on the original; its notes hold `share_of_retraining`."""
        return self.bench.unlearn(self.original.model, split, method, seed=seed, name=name)


class Request:
    """One random forget set on a ground: the split, the yardstick, and the audit of what a method makes."""

    def __init__(self, ground: Ground, share: float, seed: int, retrained: int) -> None:
        self.ground, self.seed = ground, seed
        ids = random_ids(ground.data.train, share, seed=seed)
        self.split = Split.of(ground.data.train, forget=ids, holdout=ground.data.holdout)
        self.evaluation = Evaluation.of(ground.workspace.experiment, self.split, ground.pool)
        folder = ground.folder / f"forget-{seed}-{share:g}"
        self.yardstick = [
            self.evaluation.candidate(self._retrained(folder, seed + 10 * (1 + number))) for number in range(retrained)
        ]

    def candidate(self, method: Method, *, retain: bool = True, name: str = "") -> Candidate:
        """Run a method on this request and ask its model for outputs."""
        split = self.split if retain else self.split.without_retain()
        return self.evaluation.candidate(self.ground.unlearn(method, split, seed=self.seed, name=name or method.name))

    def audit(self, *candidates: Candidate) -> list[ModelResult]:
        """Audit candidates against the retrained models; these come last in the list."""
        return list(self.evaluation.audit([*candidates, *self.yardstick], AuditSettings()).models)

    def trial(self, method: Method, *, retain: bool = True) -> dict[str, Any]:
        """Run one method and audit it: the figures of the tables."""
        return figures(self.audit(self.candidate(method, retain=retain))[0])

    def _retrained(self, folder: Path, seed: int) -> TrainedModel:
        make = partial(self.ground.unlearn, Retrain(), self.split, seed=seed)
        return self.ground.bench.kept(folder / f"retrained-{seed}.safetensors", self.split.kept, make)


def seconds() -> float:
    """The clock of costs: this process's own time on a processor, and the time of day where a GPU does the work."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def scaled(method: Method, factor: float, split: Split, recipe: Recipe) -> Method:
    """The method with its learning rates multiplied."""
    settled: Any = settle(method, split, Scale.of(recipe))
    rates = [name for name in ("learning_rate", "align_learning_rate") if hasattr(settled, name)]
    return method if factor == 1 else replace(settled, **{name: factor * getattr(settled, name) for name in rates})


def figures(audit: ModelResult) -> dict[str, Any]:
    """What the tables show of one audited model, in percent."""
    share = audit.settings.get("share_of_retraining")
    return {
        **{part: share.value for part, share in audit.accuracy},
        "ft_auc": audit.attacks["rmia"].ft.value,
        "average_gap": audit.average_gap,
        "share_of_retraining": 100 * share if isinstance(share, float) else None,
        "verdict": audit.verdict,
    }


def timed_figures(audit: ModelResult) -> dict[str, Any]:
    """The figures with the processor time, whole and as a share of the retrained models that the model is judged by."""
    share = audit.share_of_retraining
    cost = {"cpu_seconds": audit.seconds, "share_of_retraining": None if share is None else 100 * share}
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in (figures(audit) | cost).items()
    }


def markdown(rows: Mapping[str, Sequence[Mapping[str, Any]]], columns: Mapping[str, tuple[str, int]] = COLUMNS) -> str:
    """A table: the mean, the least and the greatest value of every figure, and the verdicts counted."""
    lines: list[list[str]] = []
    for name, entries in rows.items():
        good = [entry for entry in entries if "failed" not in entry]
        if not good:
            lines.append([f"`{name}`", *("" for _ in columns), f"failed: {entries[0]['failed']}"])
            continue
        cells = []
        for figure, digits in columns.values():
            values = [entry[figure] for entry in good if entry[figure] is not None]
            if not values:
                cells.append("")
                continue
            cells.append(ranged(spread(values), digits))
        verdicts = [entry["verdict"] for entry in good]
        counts = Counter(sorted(verdicts)).most_common()
        cells.append(", ".join(f"{count} × {verdict}" for verdict, count in counts))
        lines.append([name if name in ("original", "retrained") else f"`{name}`", *cells])
    return table(["method", *columns, "verdicts"], lines)


class Log:
    """Figures that are appended to a file as they are made, so that an interrupted command goes on where it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.entries: dict[str, dict[str, Any]] = {entry["key"]: entry for entry in map(json.loads, lines)}

    def add(self, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Append one entry."""
        self.entries[key] = {"key": key, **entry}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.entries[key]) + "\n")
        return self.entries[key]


def key_of(*parts: object) -> str:
    """A short name of a combination of settings."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
