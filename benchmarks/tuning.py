"""Whether `--tune` ranks settings as a comparison with retrained models does, and what it gains over defaults.

    python benchmarks/tuning.py [--methods amun,salun] [--request 1002] [--out runs/grounds]

On the shipped images, one model and one request for a tenth of the samples: six learning rates of every method are
scored by teachers and by unseen samples alone (`workflow.expectation`) beside the audit's average gap to three
retrained models. Then `tune` chooses, with 8 trials, by either; from the defaults, and from settings that ruin the
model or do nothing. The form of the score was chosen on request 1001. What was tried is appended to
`<out>/fashion/tuning.jsonl` at once, so that the command can be interrupted. Writes `benchmarks/results/tuning.json`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from common import provenance, save
from ground import Log, key_of
from grounds import Field
from scipy.stats import spearmanr

from obliviate import workflow
from obliviate.methods import registry
from obliviate.methods.amun import AMUN
from obliviate.methods.base import Method, settle
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.references.teachers import PoolTeachers
from obliviate.training.scale import Scale
from obliviate.workflow import TrainedModel
from obliviate.workflow.expectation import Expectation

METHODS: Final = ("amun", "fine_tune", "nabla_tau", "scrub", "salun")
FACTORS: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
USELESS: Final[Mapping[str, Method]] = {
    "amun at 1e-6": AMUN(learning_rate=1e-6),
    "fine_tune at 3": FineTune(learning_rate=3.0),
    "gradient_ascent at 50 times its rate": GradientAscent(learning_rate=0.6),
}
KIND: Final = "random:0.1"
MODEL: Final = 1000
JUDGES: Final = ("teachers", "unseen")


class Trials:
    """The trials of one request; each is made once."""

    def __init__(self, field: Field, request: int) -> None:
        self.field, self.request = field, request
        self.log = Log(field.folder / "tuning.jsonl")
        self.split, self.original = field.split(KIND, request), field.original(MODEL).model
        teachers = PoolTeachers.of(field.teachers, field.recipe, field.task)
        self.judges = {
            name: Expectation.of(self.original, self.split, field.task, pool, seed=request)
            for name, pool in zip(JUDGES, (teachers, None), strict=True)
        }

    @property
    def _given(self) -> TrainedModel:
        return TrainedModel.given(self.original, self.field.task, recipe=self.field.recipe)

    def gap(self, outcome: TrainedModel) -> float | None:
        """The audit's average gap."""
        return self.field.judge(KIND, self.request).audits(outcome)[0].average_gap

    def setting(self, name: str, factor: float) -> dict[str, Any]:
        """One setting of a method: its scores, and its gap."""
        if (key := key_of(self.request, name, factor)) in self.log.entries:
            return self.log.entries[key]
        method: Any = settle(registry()[name](), self.split, Scale.of(self.field.recipe))
        method = replace(method, learning_rate=method.learning_rate * factor)
        outcome = workflow.unlearn(self._given, self.split, method, seed=self.request, measure=None)
        scores = {judge: asked.score(outcome.model).total for judge, asked in self.judges.items()}
        entry = {"request": self.request, "method": name, "factor": factor, **scores, "gap": self.gap(outcome)}
        return self._added(key, entry)

    def tuned(self, name: str, method: Method, judge: str) -> dict[str, Any]:
        """What tuning makes of a method's settings."""
        if (key := key_of(self.request, "tuned", name, judge)) in self.log.entries:
            return self.log.entries[key]
        teachers = self.field.teachers if judge == "teachers" else None
        tuned = workflow.tune(self._given, self.split, method, seed=self.request, teachers=teachers)
        chosen = tuned.trials[tuned.chosen]
        entry = {
            "request": self.request,
            "tuned": name,
            "judge": judge,
            "settings": dict(chosen.settings),
            "score": chosen.total,
            "trials": len(tuned.trials),
            "seconds": tuned.trained.seconds,
            "tuning_seconds": tuned.seconds,
            "gap": self.gap(tuned.trained),
        }
        return self._added(key, entry)

    def _added(self, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        print(entry, flush=True)
        return self.log.add(key, entry)


def ranked(rows: list[dict[str, Any]], judge: str) -> float:
    """The rank correlation of the scores with the gaps."""
    return float(spearmanr([row[judge] for row in rows], [row["gap"] for row in rows]).statistic)  # pyright: ignore


def of_method(trials: Trials, name: str) -> dict[str, Any]:
    """The grid of one method, how well each judge ranks it, and what tuning chooses."""
    rows = [trials.setting(name, factor) for factor in FACTORS]
    gaps = {row["factor"]: row["gap"] for row in rows}
    tuned = {judge: trials.tuned(name, registry()[name](), judge) for judge in JUDGES}
    return {
        "gap": {"defaults": gaps[1.0], "best of the grid": min(gaps.values())}
        | {f"tuned by {judge}": entry["gap"] for judge, entry in tuned.items()},
        "rank_correlation": {judge: ranked(rows, judge) for judge in JUDGES},
        "grid": [{key: row[key] for key in ("factor", *JUDGES, "gap")} for row in rows],
        "tuned": {judge: {key: entry[key] for key in entry if key != "key"} for judge, entry in tuned.items()},
    }


def main() -> None:
    """Try what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--request", type=int, default=1002)
    parser.add_argument("--out", type=Path, default=Path("runs/grounds"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.methods.split(",")
    trials = Trials(Field.of("fashion", Path(), arguments.out), arguments.request)
    methods = {name: of_method(trials, name) for name in names}
    rows = [row for method in methods.values() for row in method["grid"]]
    useless = {name: {judge: trials.tuned(name, method, judge) for judge in JUDGES} for name, method in USELESS.items()}
    for name, entry in methods.items():
        figures = {**entry["gap"], **{f"rank by {judge}": value for judge, value in entry["rank_correlation"].items()}}
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in figures.values())} |")
    for name, entry in useless.items():
        gaps = [entry[judge]["gap"] for judge in JUDGES]
        print(f"| {name} | {' | '.join(f'{gap:.2f}' for gap in gaps)} |")
    correlation = {judge: ranked(rows, judge) for judge in JUDGES}
    print(f"rank correlation over all settings: {correlation}; gap of the original {trials.gap(original(trials)):.2f}")
    if names == list(METHODS):
        content = {"request": arguments.request, "original_gap": trials.gap(original(trials))}
        content |= {"rank_correlation": correlation, "methods": methods, "useless": useless}
        print(save("tuning", {**provenance(f"python benchmarks/tuning.py --request {arguments.request}"), **content}))


def original(trials: Trials) -> TrainedModel:
    """The model before any request."""
    return trials.field.original(MODEL)


if __name__ == "__main__":
    main()
