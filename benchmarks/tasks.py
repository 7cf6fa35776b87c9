"""Every kind of task: rows, texts, digits by writer, numbers, several labels, and a language model.

    python benchmarks/tasks.py --data FOLDER [--sets adult,mnist] [--seeds 0,1,2] [--prepare] [--out runs/tasks]

FOLDER holds `adult`, `newsgroups20`, `mnist` (with the writers of QMNIST) and `tinyshakespeare` as they are published;
`diabetes` and `fashion_pairs` need no files. Every model seed has another forget set: random samples, or all samples of
one owner (a writer, a role). A method's learning rates are tried at four factors, each with the defaults and with one
other setting (`VARIANTS`), on a forget set of its own and the original of seed 0; the one that comes closest to the
models retrained there is used for all seeds. Fine-tuning has as many tries as the others. Models and references are
kept in `<out>`, figures are appended to `<out>/<set>/figures.jsonl` as they are made, so the command can be
interrupted; `--prepare` makes figures and writes no results. Writes `benchmarks/results/tasks.json` and the tables of
`docs/tasks.md`; sets that are not asked for stay as they are there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Final

from common import RESULTS, insert, mean, provenance, ranged, save, spread, table
from extract import Extract, most
from ground import Bench, Log, Rows, figures, key_of, markdown, scaled
from torch import nn

from obliviate import workflow
from obliviate.audit.inputs import AuditSettings
from obliviate.data.rules import random_ids
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import ObliviateError
from obliviate.experiment import Experiment
from obliviate.methods import registry
from obliviate.methods.base import Method, settle
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.task import task_of
from obliviate.training.defaults import recipe_for
from obliviate.training.inference import observed
from obliviate.training.recipe import Recipe
from obliviate.training.scale import Scale
from obliviate.workflow import Evaluation, TrainedModel

PAGE = Path(__file__).parents[1] / "docs" / "tasks.md"
TUNING: Final = 3  # the forget set that settings are tried on: those of the seeds are 0, 1 and 2
FACTORS: Final = (1.0, 0.3, 0.1, 0.03)
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "fine_tune": {"epochs": 4},
    "amun": {"keep_forget": True},
    "mixunlearn": {"labels": "agnostic"},
    "nabla_tau": {"alpha": 0.5},
    "neg_grad_plus": {"beta": 0.9},
    "gradient_ascent": {"epochs": 30},
    "scrub": {"epochs": 2},
}
"""What is tried beside each method's defaults."""
OURS: Final = ("amun", "mixunlearn", "nabla_tau")
LOSS_ONLY: Final = ("fine_tune", "nabla_tau", "neg_grad_plus", "gradient_ascent", "scrub")
PARTS: Final = ("forget", "retain", "test")
NEAR: Final = {
    "forget": 0.05,
    "retain": 0.02,
    "test": 0.02,
}  # how far perplexities may be from retraining's, as a share


@dataclass(frozen=True, kw_only=True)
class Setting(Extract):
    """A data set, its training, what is forgotten, and the methods that are compared on it.

    One of the `owners` is forgotten where there are any, otherwise the share `share` at random. `references` 0 measures
    losses instead of an audit.
    """

    recipe: dict[str, Any]
    methods: tuple[str, ...]
    share: float = 0.1
    references: int = 16
    retrained: int = 2
    variants: bool = False
    factors: tuple[float, ...] = FACTORS
    pace: int = 1000


SETTINGS: Final = {
    "adult": Setting(
        source="adult",
        train_size=8000,
        holdout_size=500,
        test_size=4000,
        recipe={"options": {"hidden": (128, 64)}},
        methods=("fine_tune", *OURS),
        retrained=3,
        variants=True,
        factors=(3.0, *FACTORS),  # of the first four, the largest suited every method
    ),
    "newsgroups": Setting(
        source="newsgroups20",
        train_size=2000,
        holdout_size=300,
        test_size=750,
        recipe={"epochs": 8, "options": {"width": 32}},
        methods=("fine_tune", *OURS),
        references=6,
    ),
    "mnist": Setting(
        source="mnist",
        owners=30,
        holdout_size=300,
        test_size=1500,
        recipe={"learning_rate": 0.05, "epochs": 4},
        methods=("fine_tune", *OURS),
        references=8,
    ),
    "shakespeare": Setting(
        source="tinyshakespeare",
        owners=6,
        holdout_size=100,
        test_size=200,
        recipe={"epochs": 5, "batch_size": 16, "precision": "float32", "options": {"width": 48}},
        methods=LOSS_ONLY,
        references=0,
        pace=200,
    ),
    "diabetes": Setting(
        source="diabetes",
        shipped=True,
        holdout_size=40,
        test_size=88,
        share=0.2,
        recipe={"learning_rate": 0.01, "epochs": 50, "batch_size": 16, "options": {"hidden": (64, 32)}},
        methods=LOSS_ONLY,
        references=0,
        retrained=3,
    ),
    "fashion_pairs": Setting(
        source="fashion_pairs",
        shipped=True,
        test_size=1250,
        recipe={"epochs": 10},
        methods=LOSS_ONLY,
        references=0,
    ),
}


@dataclass(frozen=True, eq=False)
class Field:
    """A setting with its data, its models, and the figures that are found on it."""

    name: str
    setting: Setting
    data: Data
    folder: Path
    log: Log = field(repr=False)

    @classmethod
    def of(cls, name: str, files: Path, out: Path) -> Field:
        """Load the data of a setting, and what was found before."""
        setting = SETTINGS[name]
        return cls(name, setting, setting.load(files), out / name, Log(out / name / "figures.jsonl"))

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_for(self.data, **self.setting.recipe)

    @cached_property
    def bench(self) -> Bench:
        return Bench(recipe=self.recipe, task=task_of(self.data), train=self.data.train, pace=self.setting.pace)

    @property
    def language(self) -> bool:
        return self.data.kind == "causal-lm"

    @cached_property
    def test(self) -> Samples:
        return self.setting.tested(self.data)

    @cached_property
    def pool(self) -> ReferencePool:
        return workflow.train_references(
            Experiment(self.bench.task, self.recipe, self.data.train, self.test),
            folder=self.folder / "references",
            models=self.setting.references,
            workers=1,
        )

    def split(self, number: int) -> Split:
        """The forget set of this number."""
        ids = random_ids(self.data.train, self.setting.share, seed=2001 + number)
        if self.setting.owners is not None:
            ids = self.data.ids_of(most(self.data)[number])
        return Split.of(self.data.train, forget=ids, holdout=self.data.holdout)

    def original(self, seed: int) -> TrainedModel:
        make = partial(workflow.train, Experiment(self.bench.task, self.recipe, self.data.train, seed=seed))
        return self.bench.kept(self.folder / f"original-{seed}.safetensors", self.data.train, make)

    def retrained(self, number: int) -> list[TrainedModel]:
        """Models that never saw the forget set of this number."""
        split, trained = self.split(number), list[TrainedModel]()
        for seed in range(100, 100 + self.setting.retrained):
            make = partial(self.bench.unlearn, self.original(0).model, split, Retrain(), seed=seed)
            path = self.folder / f"retrained-{number}-{seed}.safetensors"
            trained.append(self.bench.kept(path, split.kept, make))
        return trained

    @cache  # noqa: B019
    def judge(self, number: int) -> Callable[[Sequence[TrainedModel]], list[dict[str, Any]]]:
        """What tells the figures of models beside those of the retrained ones, which come last."""
        split, peers = self.split(number), self.retrained(number)
        if not self.setting.references:
            seen = [self._seen(peer.model, split) for peer in peers]
            return lambda models: _beside([*(self._seen(model.model, split) for model in models), *seen], len(seen))
        evaluation = Evaluation.of(
            Experiment(self.bench.task, self.recipe, self.data.train, self.test), split, self.pool
        )
        yardstick = [evaluation.candidate(peer) for peer in peers]

        def beside(models: Sequence[TrainedModel]) -> list[dict[str, Any]]:
            audits = evaluation.audit(
                [*(evaluation.candidate(model) for model in models), *yardstick], AuditSettings()
            ).models
            rows = [figures(audit) for audit in audits]
            return [{**row, **_accuracy_gap(row, rows[len(models) :])} for row in rows]

        return beside

    def measure(self, number: int, seed: int, label: str, method: Method) -> dict[str, Any]:
        """The figures of one method, or what was found when it ran before."""
        split = self.split(number)
        settled = repr(settle(method, split, Scale.of(self.recipe)))
        key = key_of(self.recipe.fingerprint, split.forget.sha256, seed, settled)
        if key not in self.log.entries:
            entry = {"model": label, "request": number, "seed": seed, "method": settled}
            try:
                unlearned = self.bench.unlearn(self.original(seed).model, split, method, seed=seed, name=label)
                entry |= self.judge(number)([unlearned])[0]
                entry["share_of_retraining"] = 100 * unlearned.notes["share_of_retraining"]
            except ObliviateError as error:
                entry |= {"failed": str(error)}
            self.log.add(key, entry)
            print(self.name, number, self.log.entries[key], flush=True)
        return self.log.entries[key]

    def best(self, name: str) -> tuple[Method, str]:
        """A method with the settings that come closest to retraining on the tuning forget set, and these in words."""
        split, cls = self.split(TUNING), registry()[name]
        tried: dict[str, Method] = {}
        for settings, factor in itertools.product(
            [{}, VARIANTS[name]][: 1 + self.setting.variants], self.setting.factors
        ):
            words = ", ".join([f"{key} {value}" for key, value in settings.items()] + [f"× {factor:g}"])
            tried[words] = scaled(cls(**settings), factor, split, self.recipe)
        words = min(
            tried, key=lambda label: _distance(self.measure(TUNING, 0, name, tried[label]), language=self.language)
        )
        return tried[words], words

    def rows(self, seeds: Sequence[int]) -> tuple[dict[str, Rows], dict[str, str]]:
        """Every method's figures for every seed, and the settings that were chosen."""
        rows: dict[str, Rows] = {"original": [], "retrained": []}
        for seed in seeds:
            key = key_of(self.recipe.fingerprint, self.split(seed).forget.sha256, seed, "yardsticks")
            if key not in self.log.entries:
                original, *retrained = self.judge(seed)([self.original(seed)])
                self.log.add(key, {"request": seed, "original": [original], "retrained": retrained})
            for label in ("original", "retrained"):
                rows[label] += self.log.entries[key][label]
        chosen = {name: self.best(name) for name in self.setting.methods}
        for name, (method, _) in chosen.items():
            rows[name] = [self.measure(seed, seed, name, method) for seed in seeds]
        return rows, {name: words for name, (_, words) in chosen.items()}

    def facts(self) -> dict[str, Any]:
        """How much there is of everything."""
        forget = [len(self.split(number).forget) for number in range(TUNING)]
        return {
            "kind": self.data.kind,
            "train": len(self.data.train),
            "test": len(self.test),
            "holdout": len(self.data.holdout or ()),
            "forget": forget,
            "recipe": self.recipe.to_dict(),
        }

    def _seen(self, model: nn.Module, split: Split) -> dict[str, float]:
        """The share that is right, in percent, and the mean of −log of the likelihood, on every part."""
        by_part: dict[str, float] = {}
        for part, samples in zip(PARTS, (split.forget, split.kept, self.test), strict=True):
            loss, _, right = observed(model, samples, self.bench.task).mean(0).tolist()
            by_part |= {part: 100 * right, f"{part}_loss": loss}
        return by_part


def _accuracy_gap(row: Mapping[str, Any], peers: Rows) -> dict[str, float]:
    """The mean distance of the three accuracies from the retrained models'; of one of these from the others'."""
    others = [peer for peer in peers if peer is not row]
    return {"accuracy_gap": statistics.fmean(abs(row[part] - mean(others, part)) for part in PARTS)}


def _beside(seen: Sequence[Mapping[str, float]], peers: int) -> list[dict[str, Any]]:
    """What is seen beside the mean of the last `peers`, one of these beside the others of them.

    `loss_gap` is the mean distance of the three losses, and a ratio is that of perplexities, e to the loss.
    """
    rows: list[dict[str, Any]] = []
    for row in seen:
        others = [other for other in seen[-peers:] if other is not row]
        moved = {part: row[f"{part}_loss"] - mean(others, f"{part}_loss") for part in PARTS}
        more: dict[str, float] = {"loss_gap": statistics.fmean(abs(each) for each in moved.values())}
        for part in PARTS:
            more |= {f"{part}_ratio": math.exp(moved[part]), f"{part}_perplexity": math.exp(row[f"{part}_loss"])}
        rows.append({**row, **more})
    return rows


def _distance(entry: Mapping[str, Any], *, language: bool) -> float:
    """How far from retraining: the perplexity that is farthest, in units of its target; otherwise the gap."""
    if "failed" in entry:
        return math.inf
    if language:
        return max(abs(entry[f"{part}_ratio"] - 1) / NEAR[part] for part in NEAR)
    return entry.get("average_gap", entry.get("loss_gap"))


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--sets", default=",".join(SETTINGS), help="names, separated by commas")
    parser.add_argument("--seeds", default="0,1,2", help="of the originals; each has a forget set of its own")
    parser.add_argument("--prepare", action="store_true", help="make the figures, and write no results")
    parser.add_argument("--out", type=Path, default=Path("runs/tasks"))
    return parser.parse_args()


def gaps(rows: Mapping[str, Rows]) -> dict[str, Any]:
    """The best of the three seed systems beside fine-tuning: mean average gaps, and their quotient for every seed."""
    best = min(OURS, key=lambda name: mean(rows[name], "average_gap"))
    tuned = mean(rows["fine_tune"], "average_gap")
    pairs = zip(rows[best], rows["fine_tune"], strict=True)
    return {
        "best": best,
        "gap": mean(rows[best], "average_gap"),
        "fine_tune": tuned,
        "share": mean(rows[best], "average_gap") / tuned,
        "shares": [row["average_gap"] / other["average_gap"] for row, other in pairs],
        "retrained": mean(rows["retrained"], "average_gap"),
        "original": mean(rows["original"], "average_gap"),
    }


def others(rows: Mapping[str, Rows]) -> dict[str, dict[str, list[float]]]:
    """For every method and seed, how far the accuracies on what is kept and on test samples are from retraining's."""
    seeds = len(rows["original"])
    each = len(rows["retrained"]) // seeds
    peers = [rows["retrained"][each * number : each * (number + 1)] for number in range(seeds)]
    return {
        name: {part: [row[part] - mean(peer, part) for row, peer in zip(entries, peers, strict=True)] for part in PARTS}
        for name, entries in rows.items()
        if name != "retrained"
    }


LOSSES: Final = {
    **{f"{part} right, %": (part, 1) for part in PARTS},
    **{f"{part} loss": (f"{part}_loss", 3) for part in PARTS},
    "loss gap": ("loss_gap", 3),
    "share of a retraining, %": ("share_of_retraining", 1),
}
PERPLEXITIES: Final = {
    **{f"{part} perplexity": (f"{part}_perplexity", 2) for part in PARTS},
    **{f"{part} ÷ retrained": (f"{part}_ratio", 3) for part in PARTS},
    "share of a retraining, %": ("share_of_retraining", 1),
}


def written(kind: str, rows: Mapping[str, Rows], chosen: Mapping[str, str]) -> str:
    """The table of one set, the nearest to retraining first."""

    def far(named: tuple[str, Rows]) -> float:
        return statistics.fmean(_distance(entry, language=kind == "causal-lm") for entry in named[1])

    ordered = {name: rows[name] for name in ("original", "retrained")} | dict(sorted(rows.items(), key=far))
    if "average_gap" in rows["original"][0]:
        text = markdown(ordered)
    else:
        columns = PERPLEXITIES if kind == "causal-lm" else LOSSES
        lines = [[label, *(_cell(each, *column) for column in columns.values())] for label, each in ordered.items()]
        text = table(["method", *columns], lines)
    return f"{text}\n\nChosen: {'; '.join(f'`{name}` {words}' for name, words in chosen.items())}."


def _cell(rows: Rows, name: str, digits: int) -> str:
    """Mean and range of a figure, and how many rows failed."""
    values = [row[name] for row in rows if row.get(name) is not None]
    failed = sum("failed" in row for row in rows)
    return (ranged(spread(values), digits) if values else "") + (f", {failed} failed" if failed else "")


def main() -> None:
    """Make the figures of every set, and the tables of them."""
    arguments = options()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    sets: dict[str, dict[str, Any]] = {}
    made_by = provenance(f"python benchmarks/tasks.py --data FOLDER --sets {arguments.sets} --seeds {arguments.seeds}")
    for name in arguments.sets.split(","):
        field = Field.of(name, arguments.data, arguments.out)
        rows, chosen = field.rows(seeds)
        sets[name] = {"made_by": made_by, "facts": field.facts(), "chosen": chosen, "rows": rows}
    if arguments.prepare:
        return
    for name, contents in sets.items():
        text = written(contents["facts"]["kind"], contents["rows"], contents["chosen"])
        insert(PAGE, name, text)
        print(f"\n{name} {contents['facts']}\n{text}")
        if "fine_tune" in contents["rows"] and set(OURS) <= set(contents["rows"]):
            contents |= {"gaps": gaps(contents["rows"]), "others": others(contents["rows"])}
            print(contents["gaps"], contents["others"], sep="\n")
    earlier = json.loads(path.read_text("utf-8"))["sets"] if (path := RESULTS / "tasks.json").exists() else {}
    print(save("tasks", {"sets": earlier | sets}))


if __name__ == "__main__":
    main()
