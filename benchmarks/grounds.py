"""The grounds that methods are tuned and judged on: networks, data and requests, with the models that they need.

    python benchmarks/grounds.py --data FOLDER [--grounds fashion,adult] [--out runs/grounds]

trains what is missing: originals, references, teachers, retrained models.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from ground import Bench

from obliviate import workflow
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.audit.result import ModelAudit
from obliviate.data.rules import random_ids
from obliviate.data.samples import Samples
from obliviate.data.sources import EMBEDDED, Data, load
from obliviate.data.split import Split
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.task import Task, task_of
from obliviate.training.recipe import Recipe
from obliviate.training.suited import recipe_for
from obliviate.workflow import Evaluation, Trained

AUDIT_SEED: Final = 0
TEACHER_SEED: Final = 500


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A network on data: `source` is a folder of FOLDER or a shipped set."""

    source: str
    recipe: dict[str, Any]
    shipped: bool = False
    train_size: int | None = None
    holdout_size: int | None = None
    test_size: int = 2000
    owners: int | None = None
    references: int = 16
    teachers: int = 8
    tuned: bool = True


GROUNDS: Final = {
    "fashion": Ground(source=EMBEDDED, shipped=True, recipe={}, test_size=2500),
    "resnet8_small": Ground(
        source="cifar10",
        train_size=6000,
        holdout_size=600,
        recipe={"model": "resnet8", "batch_size": 64},
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


def owners(data: Data) -> np.ndarray:
    """Whose each training sample is."""
    assert data.owner is not None
    return np.asarray(data.metadata[data.owner]).astype(str)


def most(data: Data) -> np.ndarray:
    """The owners, those with the most samples first."""
    names, counts = np.unique(owners(data), return_counts=True)
    return names[np.lexsort((names, -counts))]


@dataclass(frozen=True, eq=False)
class Field:
    """A ground with its data and its models, which are kept in `folder`."""

    name: str
    ground: Ground
    data: Data
    folder: Path

    @classmethod
    def of(cls, name: str, files: Path, out: Path) -> Field:
        ground = GROUNDS[name]
        data = load(
            ground.source if ground.shipped else files / ground.source,
            train_size=ground.train_size,
            reference_size=ground.holdout_size,
        )
        if ground.owners is not None:
            data = data.without(data.train.ids[~np.isin(owners(data), most(data)[: ground.owners])])
        return cls(name, ground, data, out / name)

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_for(self.data, **self.ground.recipe)

    @cached_property
    def task(self) -> Task:
        return task_of(self.data)

    @cached_property
    def bench(self) -> Bench:
        return Bench(recipe=self.recipe, task=self.task, train=self.data.train, pace=500)

    @cached_property
    def test(self) -> Samples:
        ids = self.data.test.ids
        return self.data.test.select(ids[:: max(len(ids) // self.ground.test_size, 1)][: self.ground.test_size])

    @cached_property
    def pool(self) -> ReferencePool:
        return self._pool("references", self.test, AUDIT_SEED, self.ground.references)

    @cached_property
    def teachers(self) -> ReferencePool:
        assert self.data.reference is not None
        return self._pool("teachers", self.data.reference, TEACHER_SEED, self.ground.teachers)

    def _pool(self, name: str, unseen: Samples, seed: int, models: int) -> ReferencePool:
        return workflow.train_references(
            self.recipe, self.data.train, unseen, self.task,
            folder=self.folder / name, models=models, seed=seed, workers=0,
        )  # fmt: skip

    @cache  # noqa: B019
    def original(self, seed: int) -> Trained:
        make = partial(workflow.train, self.recipe, self.data.train, self.task, seed=seed)
        return self.bench.kept(self.folder / f"original-{seed}.safetensors", self.data.train, make)

    @cache  # noqa: B019
    def split(self, kind: str, seed: int) -> Split:
        """The request: "random:0.1", "owner", "class", with the seed of its draw."""
        return Split.of(self.data.train, forget=self._ids(kind, seed), reference=self.data.reference)

    def _ids(self, kind: str, seed: int) -> Any:
        rule, _, value = kind.partition(":")
        if rule == "random":
            return random_ids(self.data.train, float(value), seed=seed)
        if rule == "owner":
            return self.data.ids_of(most(self.data)[seed % 10])
        if rule == "class":
            return f"class:{seed % self.data.classes}"
        raise SystemExit(f"expected a request of random:SHARE, owner or class, got {kind!r}")

    def retrained(self, kind: str, seed: int, count: int = 3) -> list[Trained]:
        split, models = self.split(kind, seed), list[Trained]()
        for repeat in range(count):
            make = partial(self.bench.unlearn, self.original(1000).model, split, Retrain(), seed=10 * seed + repeat)
            path = self.folder / f"retrained-{kind.replace(':', '-')}-{seed}-{repeat}.safetensors"
            models.append(self.bench.kept(path, split.kept, make))
        return models

    @cache  # noqa: B019
    def judge(self, kind: str, seed: int) -> Judge:
        evaluation = Evaluation.of(
            self.split(kind, seed), self.test, self.pool, self.task, grouped=not kind.startswith("random")
        )
        return Judge(evaluation, [evaluation.candidate(model) for model in self.retrained(kind, seed)])


@dataclass(frozen=True, eq=False)
class Judge:
    evaluation: Evaluation
    retrained: list[Candidate]

    def audits(self, *models: Trained) -> list[ModelAudit]:
        candidates = [self.evaluation.candidate(model) for model in models]
        return list(self.evaluation.audit([*candidates, *self.retrained], AuditSettings()).models)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--grounds", default=",".join(GROUNDS))
    parser.add_argument("--requests", default="random:0.1@1001,random:0.1@1002")
    parser.add_argument("--originals", default="1000")
    parser.add_argument("--out", type=Path, default=Path("runs/grounds"))
    parser.add_argument("--pools", default="references,teachers")
    arguments = parser.parse_args()
    for name in arguments.grounds.split(","):
        field = Field.of(name, arguments.data, arguments.out)
        for seed in arguments.originals.split(","):
            model = field.original(int(seed))
            print(name, "original", seed, f"{model.seconds:.1f} s", flush=True)
        for request in arguments.requests.split(","):
            kind, _, seed = request.partition("@")
            for model in field.retrained(kind, int(seed)):
                print(name, request, f"{model.seconds:.1f} s", flush=True)
        for pool in arguments.pools.split(","):
            made = field.pool if pool == "references" else field.teachers
            print(name, pool, len(made), f"{made.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
