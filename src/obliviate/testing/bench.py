"""What methods are tried on: an original and how it was trained, a request, and test samples."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch.nn.functional as F
from torch import nn

from obliviate import workflow
from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.experiment import Experiment
from obliviate.methods import base
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Classification
from obliviate.testing.runs import CountedRun
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.progress import Progress, silent
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from obliviate.training.teachers import Teachers
from obliviate.workflow.unlearning import kept


def halved(images: Samples) -> Samples:
    """The images at half their height and width, each value the mean of four, under the same ids.

    >>> import torch
    >>> halved(Samples.from_tensors(torch.ones(2, 1, 28, 28), torch.zeros(2).long())).everything().x.shape
    torch.Size([2, 1, 14, 14])
    """
    batch = images.everything()
    return Samples.from_tensors(F.avg_pool2d(batch.x, 2), batch.y, ids=batch.ids)


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run of a method: the hash of its weights, and how many batches it took."""

    weights: str
    batches: int


@dataclass(frozen=True)
class Outcome:
    """What a user gets from a method, and the tensors of the original that have another value since."""

    trained: workflow.TrainedModel
    spoilt: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """What methods are tried on: an original and how it was trained, a request, and test samples.

    `checkpoints` are those that a training in shards left; every run gets a copy of its own, beside them. `teachers`
    are for methods that need such (`with_teachers`). What several checks look at is made once for each `repr` of a
    method.
    """

    original: nn.Module
    task: Classification
    recipe: Recipe | None
    train: Samples
    split: Split
    test: Samples
    checkpoints: Path | None = None
    teachers: Teachers | None = None
    _wholes: dict[tuple[type, str], Whole] = field(default_factory=dict, init=False, repr=False)
    _outcomes: dict[tuple[type, str], Outcome] = field(default_factory=dict, init=False, repr=False)
    _scales: dict[tuple[int, Samples], Scale] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def small(cls) -> Bench:
        """Train a network on 600 of the shipped images at half their size, of which 60 are to be forgotten."""
        data, task = sources.embedded(), Classification(classes=10)
        assert data.holdout is not None
        recipe = Recipe(model_options={"size": 14}, epochs=6, batch_size=32)
        train = halved(data.train.select(data.train.ids[:600]))
        split = Split.of(train, forget=train.ids[7:600:10], holdout=halved(data.holdout))
        original = workflow.train(Experiment(task, recipe, train)).model
        return cls(original, task, recipe, train, split, halved(data.test))

    def with_teachers(self, folder: Path) -> Bench:
        """Train four teachers over the training and the holdout samples, which stay in `folder`.

        Raises MethodError for a bench without a recipe.
        """
        if self.recipe is None:
            raise MethodError("expected a recipe to train teachers by, got none; give the bench one, or teachers")
        population = Experiment(self.task, self.recipe, self.train, self.split.holdout, seed=1)
        pool = workflow.train_references(population, folder=folder, models=4, workers=0)
        return dataclasses.replace(self, teachers=PoolTeachers.of(pool, self.recipe, self.task))

    @cached_property
    def without_recipe(self) -> Bench:
        """The same, of an original of which nobody can say how it was trained."""
        return dataclasses.replace(self, recipe=None)

    def run(self, *, folder: Path | None = None, progress: Progress = silent, seed: int = 0) -> CountedRun:
        """Make a run as `workflow.unlearn` does, but one that saves its state after every epoch."""
        return CountedRun(
            self.task,
            seed=seed,
            recipe=self.recipe,
            folder=folder,
            checkpoints=self._own_checkpoints(folder),
            progress=progress,
            save_every=0.0,
            teachers=self.teachers,
        )

    def forget(self, method: Any, split: Split | None = None, run: Run | None = None) -> nn.Module:
        """Call the method, as it is settled for the request, with a private copy of the original."""
        run, split = run or self.run(), split or self.split
        settled = self.settled(method, split, run)
        return settled(run.place(copy.deepcopy(self.original)), run.place(split), run)

    def settled(self, method: Any, split: Split | None = None, run: Run | None = None) -> Any:
        """Fill in the settings of a method for the request, as `workflow.unlearn` does."""
        run, split = run or self.run(), split or self.split
        return base.settle(method, split, lambda: self._scale(run, kept(split)))

    def _scale(self, run: Run, samples: Samples) -> Scale:
        """Say what settings are relative to; found once for the same samples, whatever the method."""
        key = run.seed, samples
        if key not in self._scales:
            self._scales[key] = run.scale(self.original, samples)
        return self._scales[key]

    def whole(self, method: Any) -> Whole:
        """Run the method on the request without an interruption, or tell what came of it when it was run so."""
        key = type(method), repr(method)
        if key not in self._wholes:
            run = self.run()
            self._wholes[key] = Whole(weights_sha256(self.forget(method, run=run)), run.taken)
        return self._wholes[key]

    def outcome(self, method: Any) -> Outcome:
        """Unlearn the request as a user does, or tell what came of it when that was done."""
        key = type(method), repr(method)
        if key not in self._outcomes:
            before = copy.deepcopy(self.original.state_dict())
            unlearned = self.unlearn(method)
            after = self.original.state_dict().items()
            spoilt = tuple(name for name, value in after if not value.equal(before[name]))
            self._outcomes[key] = Outcome(unlearned, spoilt)
        return self._outcomes[key]

    def unlearn(self, method: Any, split: Split | None = None, **options: Any) -> workflow.TrainedModel:
        """Unlearn as a user does."""
        options = {"teachers": self.teachers} | options
        return workflow.unlearn(self.trained_model(), split or self.split, method, **options)

    def trained_model(self) -> workflow.TrainedModel:
        """The original as a user gives it, with slice checkpoints of its own."""
        checkpoints = self._own_checkpoints(None)
        return workflow.TrainedModel.given(self.original, self.task, recipe=self.recipe, checkpoints=checkpoints)

    def _own_checkpoints(self, folder: Path | None) -> Path | None:
        if self.checkpoints is None:
            return None
        name = uuid4().hex if folder is None else hashlib.sha256(str(folder).encode()).hexdigest()
        own = self.checkpoints.parent / name
        if not own.exists():
            shutil.copytree(self.checkpoints, own)
        return own

    @cached_property
    def before(self) -> float:
        """Test accuracy of the original in percent."""
        return self.accuracy(self.original)

    def accuracy(self, model: nn.Module) -> float:
        """Test accuracy in percent."""
        y = self.test.everything().y
        return 100 * float(self.task.correct(outputs(model, self.test), y).float().mean())
