"""Splits of the shipped images by chance, each with models that remember, never saw, or are ruined; they are kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from obliviate import workflow
from obliviate.audit.inputs import Candidate
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.retrain import Retrain
from obliviate.references.pool import ReferencePool
from obliviate.seeds import derive
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import Evaluation, Trained, models

RECIPE: Final = Recipe()
TASK: Final = Classification(classes=10)
FORGET: Final = 500
SHARE: Final = 0.7  # of a class
NOISE: Final = 1.5  # of a weight's own standard deviation: enough to destroy a small network


@dataclass(frozen=True, eq=False)
class Draw:
    """What is trained on, forgotten and unseen, and the models on it, which are made when they are asked for."""

    number: int
    split: Split
    unseen: Samples
    folder: Path

    @classmethod
    def of(cls, number: int, *, train: Samples, test: Samples, folder: Path) -> Draw:
        """Split all images anew: as many to train on and unseen as there were."""
        everything = train.joined(test)
        ids = np.random.default_rng(derive(number, "draw")).permutation(everything.ids)
        chosen = everything.select(np.sort(ids[: len(train)]))
        split = Split.of(chosen, forget=sorted(ids[:FORGET].tolist()))
        return cls(number, split, everything.select(np.sort(ids[len(train) :])), folder / f"draw-{number:03d}")

    @property
    def train(self) -> Samples:
        """What the original was trained on."""
        return self.split.forget.joined(self.split.kept)

    @property
    def original(self) -> Trained:
        """It remembers."""
        seed = derive(self.number, "original")
        made = self._kept("original", self.train, lambda: workflow.train(RECIPE, self.train, TASK, seed=seed))
        return replace(made, role="original")

    def retrained(self, place: int, split: Split | None = None, *, name: str = "retrained") -> Trained:
        """Trained without the forget set, or without that of another split."""
        split = split or self.split
        model, seed = RECIPE.build(seed=0), derive(self.number, name, place)
        make = partial(workflow.unlearn, model, split, Retrain(), TASK, recipe=RECIPE, seed=seed)
        return replace(self._kept(f"{name}-{place}", split.kept, make), role="retrained")

    @property
    def destroyed(self) -> Trained:
        """The original with noise on every matrix."""
        torch.manual_seed(derive(self.number, "destroyed"))
        model = copy.deepcopy(self.original.model)
        with torch.no_grad():
            for one in model.parameters():
                if one.dim() > 1:
                    one.add_(NOISE * one.std() * torch.randn_like(one))
        return Trained.given(model, role="unlearned", name="destroyed")

    @property
    def untrained(self) -> Trained:
        """Fresh weights."""
        model = RECIPE.build(seed=derive(self.number, "untrained")).eval()
        return Trained.given(model, role="unlearned", name="untrained")

    def _kept(self, name: str, samples: Samples, make: Callable[[], Trained]) -> Trained:
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            models.save(path, make(), RECIPE, data_sha256=samples.sha256, ids=samples.ids.tolist())
        return replace(models.read(path, RECIPE)[0], name=name)


@dataclass(frozen=True, eq=False)
class Case:
    """A draw with the outputs of its models, and of all references."""

    draw: Draw
    evaluation: Evaluation
    original: Candidate
    retrained: list[Candidate]

    @classmethod
    def of(cls, draw: Draw, pool: ReferencePool, *, retrained: int) -> Case:
        """On the draw's own forget set."""
        evaluation = Evaluation.of(draw.split, draw.unseen, pool, TASK)
        others = [evaluation.candidate(draw.retrained(place)) for place in range(retrained)]
        return cls(draw, evaluation, evaluation.candidate(draw.original), others)

    @classmethod
    def chosen(cls, draw: Draw, pool: ReferencePool, *, by: ReferencePool, retrained: int) -> Case:
        """On as many samples of its training set that some references memorise most."""
        split = Split.of(draw.train, forget=workflow.memorised(FORGET, by, TASK))
        evaluation = Evaluation.of(split, draw.unseen, pool, TASK)
        others = [draw.retrained(place, split, name="retrained-memorised") for place in range(retrained)]
        return cls(draw, evaluation, evaluation.candidate(draw.original), [evaluation.candidate(one) for one in others])

    @classmethod
    def of_class(cls, draw: Draw, pool: ReferencePool, *, retrained: int) -> Case:
        """On seven tenths of one class of its training set, another in every draw."""
        labels = draw.train.everything().y.numpy()
        ids = draw.train.ids[labels == draw.number % TASK.classes]
        chosen = np.random.default_rng(draw.number).choice(ids, int(SHARE * len(ids)), replace=False)
        split = Split.of(draw.train, forget=sorted(chosen.tolist()))
        evaluation = Evaluation.of(split, draw.unseen, pool, TASK, grouped=True)
        others = [draw.retrained(place, split, name="retrained-class") for place in range(retrained)]
        return cls(draw, evaluation, evaluation.candidate(draw.original), [evaluation.candidate(one) for one in others])

    @property
    def ruined(self) -> list[Candidate]:
        """Models that forgot everything."""
        return [self.evaluation.candidate(one) for one in (self.draw.destroyed, self.draw.untrained)]
