"""The grounds that methods are tuned and judged on: networks, data and requests, with the models that they need.

    python benchmarks/grounds.py --data FOLDER --stage prepare [--grounds fashion,adult] [--out runs/grounds]
        [--parts models,references,teachers] [--workers 4]
    python benchmarks/grounds.py --data FOLDER --stage search --grounds fashion,adult --trials 12
    python benchmarks/grounds.py --data FOLDER --stage search --grounds newsgroups,resnet8_small --trials 3 \
        --leaders fashion,adult
    python benchmarks/grounds.py --data FOLDER --stage measure [--requests random:0.1@2001] [--originals 0]
    python benchmarks/grounds.py --data FOLDER --stage measure --grounds vgg --methods "amun (tuned),nabla_tau (tuned)"
    python benchmarks/grounds.py --data FOLDER --stage strong --grounds fashion,adult --requests random:0.1@2001
    python benchmarks/grounds.py --data FOLDER --stage curve --grounds fashion,adult
    python benchmarks/grounds.py --stage table

FOLDER holds `cifar10`, `adult`, `newsgroups20` and `mnist` as they are published. `prepare` trains what is missing:
originals and retrained models, references, teachers; several such commands may share the work. `search` tries as many
settings of every method, drawn from `SPACES` and all relative to the recipe, on the tuning grounds: originals of seed
1000 and forget sets of seeds from 1001 on. The first trial of a method is its defaults as they are; `--leaders` takes
those that lead on other grounds instead. The score is the mean over grounds of log(gap ÷ floor), the gap not below the
floor, where the floor is the gap of retrained models beside each other. `measure` runs every method at its defaults on
originals and forget sets of other seeds; the grounds that are not `tuned` play no part in any search. `table` writes
the page; `--methods "amun (tuned)"` has a method's rate and length chosen by `tune` for the model at hand, which looks
at the teachers' pool and never at the audit, and its cost is that of all trials. All figures are kept as they are made,
trials in `<out>/<ground>/search.jsonl` and cells in `benchmarks/results/grounds.json`, so each command can be
interrupted.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import math
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from common import RESULTS, insert, provenance, ranged, save, spread, table
from extract import Extract, most
from ground import Bench, Log, key_of

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.audit.distances import klom_of_shadows
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.data.rules import random_ids
from obliviate.data.samples import Samples
from obliviate.data.sources import EMBEDDED, Data
from obliviate.data.split import Split
from obliviate.errors import ObliviateError
from obliviate.experiment import Experiment
from obliviate.membership import RMIA, ulira
from obliviate.membership.base import Knowledge, readings
from obliviate.membership.moments import Moments
from obliviate.methods import registry
from obliviate.methods.base import Method, settle
from obliviate.methods.never_seen import NeverSeen
from obliviate.methods.retrain import Retrain
from obliviate.metrics.intervals import auc
from obliviate.metrics.utility import margin
from obliviate.references.pool import ReferencePool
from obliviate.references.shadows import hold_out
from obliviate.results.model import ModelResult
from obliviate.task import Task, task_of
from obliviate.training.defaults import recipe_for
from obliviate.training.recipe import Recipe
from obliviate.training.scale import Scale
from obliviate.workflow import Evaluation, TrainedModel

AUDIT_SEED: Final = 0
TEACHER_SEED: Final = 500
CHOOSER_SEED: Final = 700
TUNING_MODEL: Final = 1000
TRIALS: Final = "search.jsonl"


@dataclass(frozen=True, kw_only=True)
class Ground(Extract):
    """A network on data."""

    recipe: dict[str, Any]
    requests: tuple[str, ...] = ("random:0.1",)
    references: int = 16
    teachers: int = 8
    tuned: bool = True


GROUNDS: Final = {
    "fashion": Ground(source=EMBEDDED, shipped=True, recipe={}, test_size=2500),
    "fashion_small": Ground(source=EMBEDDED, shipped=True, train_size=1000, recipe={}, references=8, test_size=2500),
    "fashion_long": Ground(source=EMBEDDED, shipped=True, recipe={"epochs": 100}, test_size=2500, tuned=False),
    "resnet8_small": Ground(
        source="cifar10",
        train_size=6000,
        holdout_size=600,
        recipe={"model": "resnet8", "batch_size": 64},
    ),
    "resnet8_large_batch": Ground(
        source="cifar10",
        train_size=6000,
        holdout_size=600,
        recipe={"model": "resnet8", "batch_size": 256, "learning_rate": 0.3, "epochs": 30, "augmentation": "crop_flip"},
    ),
    "resnet8": Ground(
        source="cifar10",
        train_size=20000,
        holdout_size=2000,
        test_size=4000,
        recipe={"model": "resnet8", "batch_size": 128},
    ),
    "adult": Ground(
        source="adult", train_size=8000, holdout_size=500, test_size=4000, recipe={"options": {"hidden": (128, 64)}}
    ),
    "newsgroups": Ground(
        source="newsgroups20",
        train_size=2000,
        holdout_size=300,
        test_size=750,
        recipe={"epochs": 8, "options": {"width": 32}},
    ),
    "mnist": Ground(
        source="mnist",
        owners=30,
        requests=("owner",),
        holdout_size=300,
        test_size=1500,
        recipe={"learning_rate": 0.05, "epochs": 4},
    ),
    "vgg": Ground(
        source="cifar10",
        train_size=10000,
        holdout_size=1000,
        recipe={"model": "vgg11", "options": {"width": 8}, "batch_size": 64},
        tuned=False,
    ),
}


@dataclass(frozen=True, eq=False)
class Field:
    """A ground with its data and its models, which are kept in `folder`."""

    name: str
    ground: Ground
    data: Data
    folder: Path
    workers: int = 0

    @classmethod
    def of(cls, name: str, files: Path, out: Path, workers: int = 0) -> Field:
        ground = GROUNDS[name]
        return cls(name, ground, ground.load(files), out / name, workers)

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_for(self.data, **self.ground.recipe)

    @cached_property
    def task(self) -> Task:
        return task_of(self.data)

    @cached_property
    def bench(self) -> Bench:
        pace = 5000 if torch.cuda.is_available() else 500
        return Bench(recipe=self.recipe, task=self.task, train=self.data.train, pace=pace)

    @cached_property
    def test(self) -> Samples:
        return self.ground.tested(self.data)

    @cached_property
    def pool(self) -> ReferencePool:
        return self.references(self.ground.references)

    def references(self, models: int) -> ReferencePool:
        """The first of the audit's references."""
        return self._pool("references", self.test, AUDIT_SEED, models)

    @cached_property
    def teachers(self) -> ReferencePool:
        assert self.data.holdout is not None
        return self._pool("teachers", self.data.holdout, TEACHER_SEED, self.ground.teachers)

    def _pool(self, name: str, unseen: Samples, seed: int, models: int) -> ReferencePool:
        experiment = Experiment(self.task, self.recipe, self.data.train, unseen, seed=seed)
        return workflow.train_references(experiment, folder=self.folder / name, models=models, workers=self.workers)

    @cache  # noqa: B019
    def original(self, seed: int) -> TrainedModel:
        make = partial(workflow.train, Experiment(self.task, self.recipe, self.data.train, seed=seed))
        return self.bench.kept(self.folder / f"original-{seed}.safetensors", self.data.train, make)

    @cache  # noqa: B019
    def split(self, kind: str, seed: int) -> Split:
        """The request: "random:0.1", "memorised:0.1", "owner", "class"; with a seed."""
        return Split.of(self.data.train, forget=self._ids(kind, seed), holdout=self.data.holdout)

    def _ids(self, kind: str, seed: int) -> Any:
        rule, _, value = kind.partition(":")
        if rule == "random":
            return random_ids(self.data.train, float(value), seed=seed)
        if rule == "memorised":
            # By models that neither teach nor audit: on samples that they chose, these would be extreme by chance.
            return workflow.memorised(
                float(value), partial(self._pool, "choosers", self.test, CHOOSER_SEED, 8), self.task
            )
        if rule == "owner":
            return self.data.ids_of(most(self.data)[seed % 10])
        if rule == "class":
            return f"class:{seed % self.data.classes}"
        raise SystemExit(f"expected a request of random:SHARE, memorised:SHARE, owner or class, got {kind!r}")

    def retrained(self, kind: str, seed: int, count: int = 3) -> list[TrainedModel]:
        split, trained = self.split(kind, seed), list[TrainedModel]()
        for repeat in range(count):
            model = self.recipe.build(seed=0)  # of which a retraining takes nothing
            make = partial(self.bench.unlearn, model, split, Retrain(), seed=10 * seed + repeat)
            path = self.folder / f"retrained-{kind.replace(':', '-')}-{seed}-{repeat}.safetensors"
            trained.append(self.bench.kept(path, split.kept, make))
        return trained

    @cache  # noqa: B019
    def judge(self, kind: str, seed: int) -> Judge:
        evaluation = Evaluation.of(
            Experiment(self.task, self.recipe, self.data.train, self.test),
            self.split(kind, seed),
            self.pool,
            grouped=not kind.startswith("random"),
        )
        return Judge(evaluation, [evaluation.candidate(model) for model in self.retrained(kind, seed)])


@dataclass(frozen=True, eq=False)
class Judge:
    """What compares models with those that were retrained for a request."""

    evaluation: Evaluation
    retrained: list[Candidate]

    def audits(self, *models: TrainedModel) -> list[ModelResult]:
        """Audit models; the retrained ones come last."""
        candidates = [self.evaluation.candidate(model) for model in models]
        return list(self.evaluation.audit([*candidates, *self.retrained], AuditSettings()).models)

    def figures(self, logits: np.ndarray) -> np.ndarray:
        """Forget, retain and test accuracy and FT-AUC in percent, as an audit has them, without the rest of it."""
        audited, attack = self.evaluation.audited, RMIA()
        outputs = audited.outputs(logits, whose="a trial")
        scores = audited.by_part(attack(audited.target(outputs, self._knowledge)))
        correct = audited.by_part(outputs.correct)
        accuracies = [100 * correct[part].mean() for part in ("forget", "retain", "unseen")]
        return np.array([*accuracies, 100 * auc(scores["forget"], scores["unseen"])])

    @cached_property
    def _knowledge(self) -> Knowledge:
        audited, signals = self.evaluation.audited, RMIA().signals
        references = audited.references(self.evaluation.pool)
        read = ((readings(outputs, signals), included) for outputs, included in references)
        return Knowledge.of(read, samples=len(audited.index))

    @cached_property
    def _retrained_figures(self) -> list[np.ndarray]:
        return [self.figures(candidate.logits) for candidate in self.retrained]

    @cached_property
    def floor(self) -> float:
        """The mean gap of each retrained model to the others."""
        all_of_them = self._retrained_figures
        gaps = []
        for place, own in enumerate(all_of_them):
            others = [other for index, other in enumerate(all_of_them) if index != place]
            gaps.append(np.abs(own - np.mean(others, axis=0)).mean())
        return float(np.mean(gaps))

    def margin_ratio(self, logits: np.ndarray) -> float | None:
        """The mean distance of margins on the forget set to retrained models, over that among these."""
        index, labels = self.evaluation.audited.forget, self.evaluation.audited.labels
        if labels is None:
            return None
        own, *others = (margin(outputs[index], labels[index]) for outputs in (logits, *self._retrained_logits))
        among = [np.abs(first - second).mean() for first, second in itertools.combinations(others, 2)]
        return float(np.mean([np.abs(own - other).mean() for other in others]) / np.mean(among))

    @property
    def _retrained_logits(self) -> list[np.ndarray]:
        return [candidate.logits for candidate in self.retrained]

    def trial(self, model: TrainedModel) -> dict[str, float | None]:
        """The figures of one model, in percent and points."""
        logits = self.evaluation.candidate(model).logits
        figures, peers = self.figures(logits), np.mean(self._retrained_figures, axis=0)
        names = ("forget", "retain_accuracy", "test", "ft_auc")
        return {
            **{name: round(float(value), 3) for name, value in zip(names, figures, strict=True)},
            "test_difference": round(float(figures[2] - peers[2]), 3),
            "ft_auc_difference": round(float(figures[3] - peers[3]), 3),
            "gap": round(float(np.abs(figures - peers).mean()), 3),
            "floor": round(self.floor, 3),
            "margin_ratio": None if (ratio := self.margin_ratio(logits)) is None else round(ratio, 3),
        }


NO_RETAIN: Final = " (no retain set)"
RATES: Final = ["0.25x", "0.5x", "1x", "1.5x", "2x"]
SLOW: Final = ["0.03x", "0.1x", "0.2x", "0.5x", "1x"]
LENGTHS: Final = ["10%", "15%", "20%", "25%"]
COMMON: Final[dict[str, list[Any]]] = {
    "optimizer": ["recipe"], "momentum": [None], "weight_decay": [None], "batch_size": [None], "schedule": ["cosine"],
}  # fmt: skip
BY_ADAM: Final = COMMON | {"optimizer": ["adam"], "momentum": [0.9], "weight_decay": [0.0]}
PLAIN: Final = {"momentum": [0.0, None], "weight_decay": [0.0, None]}
"""Random labels ruin some networks by the recipe's momentum, and others not."""
SPACES: Final[dict[str, dict[str, list[Any]]]] = {
    "fine_tune": COMMON | {"epochs": LENGTHS, "learning_rate": RATES},
    "amun": COMMON | {"epochs": LENGTHS, "learning_rate": ["0.5x", "0.75x", "1x", "1.25x", "1.5x"]},
    "nabla_tau": COMMON
    | {
        "retain_passes": ["5%", "10%", "15%", "20%"],
        "learning_rate": RATES,
        "alpha": [None, 0.25, 0.5],
        "train_mode": [True],
        "clip_norm": [1.0],
    },
    "mixunlearn": BY_ADAM
    | {
        "retain_passes": ["5%", "7%", "10%"],
        "learning_rate": ["0.5x", "1x", "2x"],
        "tau_mix": [2.0, 3.0, 5.0],
        "tau_real": [1.5, 2.0, 3.0],
    },
    "never_seen": COMMON
    | {"epochs": LENGTHS, "learning_rate": ["0.5x", "1x", "1.5x"], "repeats": [3, 5, 8], "below": [0.1, 0.2, 0.5]},
    "random_label": COMMON | PLAIN | {"epochs": LENGTHS, "learning_rate": SLOW},
    "salun": COMMON | PLAIN | {"epochs": LENGTHS, "learning_rate": SLOW, "saliency": [0.3, 0.5, 0.7]},
    "scrub": BY_ADAM
    | {
        "epochs": ["5%", "10%", "15%"],
        "max_epochs": [1, 2],
        "learning_rate": ["0.25x", "0.5x", "1x", "2x"],
        "alpha": [0.001, 0.05, 0.5],
    },
    "bad_teacher": BY_ADAM
    | {"epochs": ["5%", "10%"], "learning_rate": ["0.25x", "0.5x", "1x", "2x"], "temperature": [1.0, 2.0, 4.0]},
    "neg_grad_plus": COMMON | {"epochs": ["5%", "10%", "15%"], "learning_rate": RATES, "beta": [0.9, 0.95, 0.98, 0.99]},
    "l1_sparse": COMMON | {"epochs": LENGTHS, "learning_rate": RATES, "gamma": [1e-5, 1e-4, 3e-4]},
    "regun": COMMON | {"epochs": LENGTHS, "learning_rate": RATES, "forget_weight": [0.1, 0.2, 0.5, 1.0]},
    "msg": COMMON
    | {"epochs": LENGTHS, "learning_rate": RATES, "share": [0.2, 0.3, 0.5], "kept_gradient": [0.1, 0.5, 1.0]},
    "ct": COMMON | {"epochs": LENGTHS, "learning_rate": RATES},
    "lotus": COMMON | {"epochs": LENGTHS, "learning_rate": RATES, "alpha": [2.0, 8.0, 16.0]},
    "sfron": COMMON | {"epochs": LENGTHS, "learning_rate": RATES, "alpha": [1.0, 5.0, 20.0], "every": [2, 5]},
    "amun (no retain set)": COMMON
    | {
        "epochs": ["15%", "25%", "40%"],
        "learning_rate": ["0.03x", "0.1x", "0.2x", "0.5x"],
        "saliency": [0.2, 0.5, 1.0],
        "batch_size": [32],
    },
    "never_seen (no retain set)": COMMON
    | {
        "epochs": ["20%", "40%", "60%"],
        "learning_rate": ["0.1x", "0.25x", "0.5x", "1x"],
        "hold": [1, 2, 4],
        "below": [0.2, 0.5, 1.0],
    },
    "gradient_ascent (no retain set)": COMMON
    | {
        "epochs": ["10%", "25%", "50%"],
        "learning_rate": ["0.001x", "0.003x", "0.01x", "0.03x", "0.1x"],
        "momentum": [0.0],
    },
}
"""For every method the values that its fields may take; the search draws from the product."""


def settings_of(name: str, trials: int) -> list[dict[str, Any]]:
    """The defaults as they are, which are no settings, and others drawn without repetition from the method's space."""
    space = SPACES[name]
    product = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(derive(0, "grounds", name)).shuffle(product)
    return [{}, *product][:trials]


def made_of(name: str, settings: Mapping[str, Any]) -> Method:
    """The method with these settings, those of `COMMON` as far as it has them."""
    cls = registry()[name.removesuffix(NO_RETAIN)]
    names = {setting.name for setting in fields(cls)}
    return cls(**{key: value for key, value in settings.items() if key in names or key not in COMMON})


def run(field: Field, name: str, method: Method, kind: str, seed: int, original: int) -> TrainedModel:
    """Unlearn a request of a ground; the name says whether the method has the retain set, and whether it is tuned."""
    split = field.split(kind, seed)
    split = split.without_retain() if NO_RETAIN in name else split
    if name.endswith(TUNED):
        return field.bench.tune(field.original(original), split, method, seed=seed, pool=field.teachers)
    pool = field.teachers if "teachers" in method.needs else None
    return field.bench.unlearn(field.original(original).model, split, method, seed=seed, name=name, pool=pool)


def searched(
    field: Field,
    names: Sequence[str],
    trials: int,
    requests: Sequence[tuple[str, int]],
    leaders: Mapping[str, list[Any]],
) -> None:
    """Try settings on one ground, and keep what comes of each; of methods with `leaders` only those."""
    log = Log(field.folder / TRIALS)
    for number, name in itertools.product(range(trials), names):
        settings = leaders.get(name, settings_of(name, trials))[number : number + 1]
        for chosen, (kind, seed) in itertools.product(settings, requests):
            key = key_of(name, chosen, repr(default_of(name)) if not chosen else "", kind, seed)
            if key in log.entries:
                continue
            method = made_of(name, chosen)
            entry: dict[str, Any] = {"method": name, "settings": chosen, "request": kind, "seed": seed}
            try:
                trained = run(field, name, method, kind, seed, TUNING_MODEL)
                entry |= field.judge(kind, seed).trial(trained)
                entry["cost"] = round(100 * trained.notes["share_of_retraining"], 2)
            except ObliviateError as error:
                entry["failed"] = str(error)
            log.add(key, entry)
            shown = {name: entry.get(name) for name in ("gap", "floor", "margin_ratio", "cost", "failed")}
            print(field.name, name, {key: value for key, value in chosen.items() if value}, shown, flush=True)


def score(entries: Sequence[dict[str, Any]]) -> float:
    """The mean over grounds of log(gap ÷ floor), which is 0 at the floor; infinite where a run failed."""
    if any("failed" in entry for entry in entries):
        return math.inf
    return statistics.fmean(math.log(max(entry["gap"] / entry["floor"], 1.0)) for entry in entries)


STAGES: Final = ("prepare", "search", "best", "measure", "strong", "curve", "table")


def main() -> None:
    """Prepare, search, measure or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stage", choices=["prepare", "search", "best", "measure", "strong", "curve", "table"], default="prepare"
    )
    parser.add_argument("--data", type=Path, help="the folder of the data sets; needed for all but `best` and `table`")
    parser.add_argument("--grounds", default=",".join(GROUNDS))
    parser.add_argument("--methods", default=",".join(SPACES))
    parser.add_argument("--trials", type=int, default=8, help="settings of every method")
    parser.add_argument("--leaders", default="", help="search only among those that lead on these grounds, all tried")
    parser.add_argument("--requests", default="random:0.1@1001")
    parser.add_argument("--originals", default="1000")
    parser.add_argument("--parts", default=",".join(PARTS), help="what `prepare` trains")
    parser.add_argument("--workers", type=int, default=0, help="processes that train references and teachers")
    parser.add_argument("--out", type=Path, default=Path("runs/grounds"))
    arguments = parser.parse_args()
    names, grounds = arguments.methods.split(","), arguments.grounds.split(",")
    requests = [(kind, int(seed)) for kind, seed in (text.split("@") for text in arguments.requests.split(","))]
    originals = [int(seed) for seed in arguments.originals.split(",")]
    if arguments.stage == "best":
        best(arguments.out, grounds, names)
        return
    if arguments.stage == "table":
        write_page()
        return
    leaders = {
        method: [settings for _, settings, _ in ranked(arguments.out, arguments.leaders.split(","), method)]
        for method in names
        if arguments.leaders
    }
    for name in grounds:
        field = Field.of(name, arguments.data, arguments.out, arguments.workers)
        if arguments.stage == "prepare":
            prepare(field, requests, originals, arguments.parts.split(","))
        elif arguments.stage == "search":
            searched(field, names, arguments.trials, requests, leaders)
        elif arguments.stage == "strong":
            strongest(field, names if arguments.methods != ",".join(SPACES) else STRONG, requests)
        elif arguments.stage == "curve":
            curves(field, names, requests)
        else:
            shown = names if arguments.methods != ",".join(SPACES) else MEASURED
            measured(field, shown, requests, originals)


PARTS: Final = ("models", "references", "teachers")


def prepare(
    field: Field, requests: Sequence[tuple[str, int]], originals: Sequence[int], parts: Sequence[str] = PARTS
) -> None:
    """Train what is missing."""
    if "models" in parts:
        for seed in originals:
            print(field.name, "original", seed, f"{field.original(seed).seconds:.1f} s", flush=True)
        for kind, seed in requests:
            for model in field.retrained(kind, seed):
                print(field.name, kind, seed, f"{model.seconds:.1f} s", flush=True)
    for name, pool in (("references", lambda: field.pool), ("teachers", lambda: field.teachers)):
        if name in parts:
            print(field.name, name, len(pool()), f"{pool().seconds:.0f} s", flush=True)


STRONG: Final = (
    "amun", "mixunlearn", "nabla_tau", "never_seen", "never_seen (single opinion)", "fine_tune", "salun", "scrub",
)  # fmt: skip
SHADOWS: Final = 32


def strongest(field: Field, names: Sequence[str], requests: Sequence[tuple[str, int]]) -> None:
    """Attack methods by U-LiRA and measure KLoM: every one of 32 references goes through them (Hayes et al. 2024)."""
    pool = field.references(SHADOWS)
    for (kind, seed), name in itertools.product(requests, ("original", *names)):
        method = None if name == "original" else default_of(name)
        key = f"{field.name} {kind}@{seed} {name} strong " + key_of(repr(method), field.recipe.fingerprint, SHADOWS)
        if key in cells():
            continue
        if method is None:
            figures = attacked(*before(field, pool, field.split(kind, seed)))
        else:
            shadows = workflow.train_shadows(
                Experiment(field.task, field.recipe, field.data.train, field.test),
                pool,
                [(field.split(kind, seed), method)],
                teachers=field.teachers,
                folder=field.folder / "shadows",
                workers=0,
            )
            labels = field.data.train.joined(field.test).select(shadows.ids).targets.numpy()
            figures = attacked(np.stack([margin(logits, labels) for logits in shadows.logits]), shadows.included)
        row = {"stage": "strong", "ground": field.name, "method": name, "settings": repr(method)}
        row |= {"request": kind, "seed": seed, **figures, "commit": provenance("")["commit"]}
        keep(key, row)
        print(key, figures, flush=True)


def before(field: Field, pool: ReferencePool, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The margins of references that forgot nothing, on forgotten and as many unseen samples, and who saw which."""
    unseen = hold_out(field.test.ids, len(split.forget), seed=0)
    samples = field.data.train.joined(field.test)
    places = samples.places(np.concatenate([np.sort(split.forget.ids), unseen]))
    labels = samples.targets.numpy()[places.numpy()]
    margins = np.stack([margin(logits[places.numpy()], labels) for logits in pool.logits])
    return margins, pool.included[:, places.numpy()]


def attacked(margins: np.ndarray, included: np.ndarray) -> dict[str, Any]:
    """What tells, in percent, samples that shadows forgot from those that they never saw, each shadow under the others.

    `loss_auc` is the attack by the margin alone, `u_lira_auc` that by the likelihood ratio of the other shadows; `klom`
    holds percentiles between those that forgot a sample and those that never had it, and between two halves of the
    latter, the floor.
    """
    moments, loss, likelihood = Moments.of(margins, included), list[float](), list[float]()
    for own, forgot in zip(margins, included, strict=True):
        ratios = ulira.scores(own, moments.without(own, forgot))
        loss.append(100 * auc(own[forgot], own[~forgot]))
        likelihood.append(100 * auc(ratios[forgot], ratios[~forgot]))
    klom = klom_of_shadows(margins, included).model_dump()
    return {
        "shadows": len(margins),
        **{
            name: round(statistics.fmean(values), 2)
            for name, values in (("loss_auc", loss), ("u_lira_auc", likelihood))
        },
        "u_lira_error": round(statistics.stdev(likelihood) / len(likelihood) ** 0.5, 2),
        "klom": {group: {name: round(value, 2) for name, value in each.items()} for group, each in klom.items()},
    }


CURVES: Final = {
    "fine_tune": "epochs", "amun": "epochs", "never_seen": "epochs", "nabla_tau": "retain_passes",
    "mixunlearn": "retain_passes",
}  # fmt: skip
"""The field of every method that says how long it goes on."""
STRETCHES: Final = (0.25, 0.5, 1.0, 1.5, 2.0)


def curves(field: Field, names: Sequence[str], requests: Sequence[tuple[str, int]]) -> None:
    """Run methods shorter and longer than by default on the tuning model, everything else being as it is."""
    for (kind, seed), stretch, name in itertools.product(
        requests, STRETCHES, [name for name in names if name in CURVES]
    ):
        length = float(getattr(settle(default_of(name), field.split(kind, seed), Scale.of(field.recipe)), CURVES[name]))
        wanted = stretch * length if CURVES[name] == "retain_passes" else max(1, round(stretch * length))
        method = type(default_of(name))(**{CURVES[name]: wanted})
        key = f"{field.name} {kind}@{seed} {name} curve " + key_of(repr(method), field.recipe.fingerprint)
        if key in cells():
            continue
        trained = run(field, name, method, kind, seed, TUNING_MODEL)
        row = {"stage": "curve", "ground": field.name, "method": name, "settings": repr(method), "passes": wanted}
        row |= {"request": kind, "seed": seed, **field.judge(kind, seed).trial(trained)}
        row |= {"cost": round(100 * trained.notes["share_of_retraining"], 2), "commit": provenance("")["commit"]}
        keep(key, row)
        print(field.name, name, wanted, row["gap"], row["floor"], row["cost"], flush=True)


VARIANTS: Final[dict[str, Method]] = {"never_seen (single opinion)": NeverSeen(single_opinion=1.0)}
PAPER: Final = " (paper)"
TUNED: Final = " (tuned)"
MEASURED: Final = [*SPACES, *(f"{name}{PAPER}" for name in ("amun", "mixunlearn", "nabla_tau"))]
RESULTS_FILE: Final = RESULTS / "grounds.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "comparison.md"
METHODS_PAGE: Final = PAGE.with_name("methods") / "README.md"


def default_of(name: str) -> Method:
    """The method at its defaults, as its paper has it, or a variant of a name."""
    if name in VARIANTS:
        return VARIANTS[name]
    cls = registry()[name.removesuffix(TUNED).removesuffix(NO_RETAIN).removesuffix(PAPER)]
    return cls.paper() if name.endswith(PAPER) else cls()


def cells() -> dict[str, dict[str, Any]]:
    """What was measured so far, by its key."""
    return json.loads(RESULTS_FILE.read_text("utf-8"))["cells"] if RESULTS_FILE.exists() else {}


def keep(key: str, cell: Mapping[str, Any]) -> None:
    """Add a cell to the results, whoever else is writing there; it takes the place of that of earlier defaults."""
    with (RESULTS / ".grounds.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {name: other for name, other in cells().items() if not _same_place(other, cell)} | {key: cell}
        text = ",\n".join(f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept))
        temporary = RESULTS_FILE.with_suffix(".tmp")
        temporary.write_text('{"cells": {\n' + text + "\n}}\n", encoding="utf-8")
        temporary.replace(RESULTS_FILE)


def _same_place(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two cells are of one method on one request; retrained models stand beside each other."""
    names = ("stage", "ground", "method", "request", "seed", "original", "passes")
    return first["method"] != "retrained" and all(first.get(name) == second.get(name) for name in names)


def cell_of(field: Field, audit: ModelResult, figures: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the results: what an audit says of one model, in percent and points."""
    return {
        "ground": field.name,
        "method": audit.name,
        "settings": audit.method,
        **figures,
        "verdict": audit.verdict,
        "damage": audit.damage,
        "commit": provenance("")["commit"],
    }


def measured(field: Field, names: Sequence[str], requests: Sequence[tuple[str, int]], originals: Sequence[int]) -> None:
    """Run every method at its defaults on every request of every original, and keep the cells that are missing."""
    for (kind, seed), original in itertools.product(requests, originals):
        where = {"request": kind, "seed": seed, "original": original}
        judge = field.judge(kind, seed)
        for name in ["original", *names]:
            method = None if name == "original" else default_of(name)
            key = f"{field.name} {kind}@{seed} {original} {name} " + key_of(repr(method), field.recipe.fingerprint)
            if key in cells():
                continue
            try:
                trained = field.original(original) if method is None else run(field, name, method, kind, seed, original)
            except ObliviateError as error:
                keep(key, {"ground": field.name, "method": name, **where, "failed": str(error)})
                continue
            audit, *retrained = judge.audits(replace(trained, name=name))
            cost = trained.notes.get("share_of_retraining")
            figures = judge.trial(trained) | {"cost": None if cost is None else round(100 * cost, 2)}
            keep(key, cell_of(field, audit, figures) | where)
            print(
                key,
                {name: figures[name] for name in ("gap", "floor", "margin_ratio", "cost")},
                audit.verdict,
                flush=True,
            )
            if method is None:
                for place, peer in enumerate(retrained):
                    figures = {"gap": round(peer.average_gap or 0.0, 3), "floor": round(judge.floor, 3)}
                    figures |= {"forget": peer.accuracy.forget.value, "retain_accuracy": peer.accuracy.retain.value}
                    figures |= {"test": peer.accuracy.test.value, "ft_auc": peer.attacks["rmia"].ft.value}
                    row = cell_of(field, peer.model_copy(update={"name": "retrained"}), figures) | where
                    keep(f"{key} retrained {place}", row)


COLUMNS: Final = {
    "forget %": ("forget", 1),
    "retain %": ("retain_accuracy", 1),
    "test %": ("test", 1),
    "FT-AUC": ("ft_auc", 1),
    "average gap": ("gap", 2),
    "margins ÷ floor": ("margin_ratio", 2),
    "cost, %": ("cost", 0),
}


def write_page() -> None:
    """Put the tables into docs/comparison.md."""
    staged = {stage: [row for row in cells().values() if row.get("stage") == stage] for stage in ("strong", "curve")}
    insert(PAGE, "strongest attacks", _strongest_table(staged["strong"]))
    insert(PAGE, "longer and shorter", _curve_table(staged["curve"]))
    rows = [row for row in cells().values() if "stage" not in row]
    insert(PAGE, "summary", _summary(rows))
    tables = []
    for ground in GROUNDS:
        for kind in sorted({row["request"] for row in rows if row["ground"] == ground}):
            here = [row for row in rows if (row["ground"], row["request"]) == (ground, kind)]
            tables.append(_table(ground, kind, here))
    insert(PAGE, "grounds", "\n\n".join(tables))


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The mean average gap of every method on every ground, for its main request; those on most grounds first."""
    gaps: dict[str, dict[str, list[float]]] = {}
    floors: dict[str, list[float]] = {}
    for row in rows:
        ground = row["ground"]
        if row["request"] == GROUNDS[ground].requests[0] and "failed" not in row:
            gaps.setdefault(row["method"], {}).setdefault(ground, []).append(row["gap"])
            floors.setdefault(ground, []).append(row["floor"])
    grounds = [ground for ground in GROUNDS if ground in floors]
    floor = {ground: statistics.fmean(floors[ground]) for ground in grounds}

    def far(name: str) -> tuple[int, float]:
        means = {ground: statistics.fmean(values) for ground, values in gaps[name].items()}
        return -len(means), statistics.fmean(math.log(max(mean / floor[ground], 1)) for ground, mean in means.items())

    lines = [["floor", *(f"{floor[ground]:.2f}" for ground in grounds)]]
    for name in sorted(set(gaps) - {"retrained"}, key=far):
        means = [statistics.fmean(gaps[name][ground]) if ground in gaps[name] else None for ground in grounds]
        lines.append([f"`{name}`", *("" if mean is None else f"{mean:.2f}" for mean in means)])
    heads = [f"{ground}, {len(gaps['original'][ground])}" for ground in grounds]
    return table(["method", *heads], lines)


def _strongest_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Weak and strong attacks side by side, a line a method."""
    lines = []
    for row in sorted(rows, key=lambda row: (list(GROUNDS).index(row["ground"]), row["request"], row["u_lira_auc"])):
        klom = row["klom"]
        lines.append(
            [
                row["ground"], row["method"] if row["method"] == "original" else f"`{row['method']}`",
                f"{row['loss_auc']:.1f}", f"{row['u_lira_auc']:.1f} ± {2 * row['u_lira_error']:.1f}",
                f"{klom['unlearned']['mean']:.2f} ({klom['floor']['mean']:.2f})",
                f"{klom['unlearned']['p95']:.2f} ({klom['floor']['p95']:.2f})",
            ]
        )  # fmt: skip
    return table(["ground", "model", "loss, AUC", "U-LiRA, AUC", "KLoM, mean (floor)", "KLoM, 95 % (floor)"], lines)


def _curve_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The gap, and the cost in brackets, over the length as a multiple of the default."""
    lines = []
    for ground, name in itertools.product(GROUNDS, CURVES):
        here = sorted(
            (row for row in rows if (row["ground"], row["method"]) == (ground, name)), key=lambda row: row["passes"]
        )
        if here:
            points = ", ".join(f"{row['passes']:g}: {row['gap']:.2f} ({row['cost']:.0f} %)" for row in here)
            lines.append([ground, f"`{name}`", f"{here[0]['floor']:.2f}", points])
    return table(["ground", "method", "floor", "passes: average gap (cost)"], lines)


def _table(ground: str, kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    by_method: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)

    def far(name: str) -> float:
        good = [row["gap"] for row in by_method[name] if "failed" not in row]
        return statistics.fmean(good) if good else math.inf

    lines = []
    for name in sorted(by_method, key=far):
        good = [row for row in by_method[name] if "failed" not in row]
        if not good:
            lines.append([f"`{name}`", *("" for _ in COLUMNS), f"failed: {by_method[name][0]['failed']}"])
            continue
        texts = []
        for figure, digits in COLUMNS.values():
            values = [row[figure] for row in good if row.get(figure) is not None]
            several = ranged(spread(values), digits) if len(values) > 1 else "".join(f"{v:.{digits}f}" for v in values)
            texts.append(several)
        verdicts = Counter(row["verdict"] + ("; damaged" if row["damage"] else "") for row in good)
        texts.append(", ".join(f"{count} × {verdict}" for verdict, count in verdicts.most_common()))
        lines.append([name if name in ("original", "retrained") else f"`{name}`", *texts])
    floors = [row["floor"] for row in rows if "floor" in row]
    title = f"**{ground}, {kind}** (floor of the gap {statistics.fmean(floors):.2f})"
    return f"{title}\n\n{table(['method', *COLUMNS, 'verdicts'], lines)}"


def ranked(out: Path, grounds: Sequence[str], name: str) -> list[tuple[float, dict[str, Any], list[dict[str, Any]]]]:
    """The settings that were tried on all of these grounds, the best first: score, settings, trials."""
    trials: dict[str, dict[str, dict[str, Any]]] = {}
    served = set[str]()  # ct, for one, needs convolutions
    for ground in grounds:
        for entry in Log(out / ground / TRIALS).entries.values():
            if entry["method"] == name:
                trials.setdefault(json.dumps(entry["settings"]), {})[ground] = {"ground": ground, **entry}
                served |= set() if "failed" in entry else {ground}
    everywhere = [
        (key, [trial for ground, trial in tried.items() if ground in served])
        for key, tried in trials.items()
        if served <= set(tried)
    ]
    return sorted(((score(tried), json.loads(key), tried) for key, tried in everywhere), key=lambda ranking: ranking[0])


def best(out: Path, grounds: Sequence[str], names: Sequence[str]) -> None:
    """Print the settings of every method, the best first; keep all trials and put the best into the page of methods."""
    lines, trials, floors = list[list[str]](), dict[str, Any](), dict[str, float]()
    for name in names:
        ranking = ranked(out, grounds, name)
        for reached, settings, tried in ranking:
            print(f"{name}: {reached:.2f} {spelled(settings)}")
            for trial in tried:
                figures = [trial.get(figure) for figure in ("gap", "floor", "margin_ratio", "cost", "retain_accuracy")]
                print("     ", trial["ground"], *(figures if "failed" not in trial else [trial["failed"]]))
        trials[name] = [
            {"ground": ground, **{key: entry[key] for key in KEPT_OF_TRIALS if key in entry}}
            for ground in grounds
            for entry in Log(out / ground / TRIALS).entries.values()
            if entry["method"] == name
        ]
        floors |= {trial["ground"]: trial["floor"] for trial in trials[name] if "floor" in trial}
        if ranking:
            reached, settings, tried = ranking[0]
            gaps = {trial["ground"]: trial["gap"] for trial in tried if "gap" in trial}
            costs = [trial["cost"] for trial in tried if "cost" in trial]
            cost = f"{min(costs):.0f}–{max(costs):.0f}"
            cells = [f"{gaps[ground]:.2f}" if ground in gaps else "" for ground in grounds]
            lines.append([f"`{name}`", spelled(settings), *cells, f"{reached:.2f}", cost])
    lines.insert(0, ["retrained models", "", *(f"{floors[ground]:.2f}" for ground in grounds), "", ""])
    insert(METHODS_PAGE, "search", table(["method", "best settings", *grounds, "score", "cost, %"], lines))
    command = "python benchmarks/grounds.py --data FOLDER --stage search"
    print(save("defaults", {**provenance(command), "trials": trials}))


KEPT_OF_TRIALS: Final = ("settings", "gap", "floor", "margin_ratio", "retain_accuracy", "cost", "failed")


def spelled(settings: Mapping[str, Any]) -> str:
    """Settings in words, without those that all trials shared."""
    chosen = {key: value for key, value in settings.items() if COMMON.get(key) != [value]}
    return ", ".join(f"{key} {value}" for key, value in chosen.items()) or "as they were"


if __name__ == "__main__":
    main()
