"""Runs on small data, and what makes resuming them hard: noise, statistics that change, and kills at any report."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Batch


class Killed(BaseException):
    """Like KeyboardInterrupt: nobody catches it."""


class Noisy(nn.Module):
    """Everything that makes resumption hard: dropout, and buffers that change in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.dropout(F.relu(self.norm(self.conv(x)))).flatten(1))


def noisy(**changed: Any) -> Recipe:
    options: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "augmentation": "crop_flip"}
    return Recipe(model=Noisy, precision="float32", **(options | changed))


SGD, ADAM = noisy(), noisy(optimizer="adam", learning_rate=0.01)


def trained(recipe: Recipe, samples: Samples, *, seed: int = 0, **options: Any) -> str:
    return weights_sha256(run(seed=seed, recipe=recipe, **options).train(samples))


def kill_at(report: int) -> Callable[[str, float, float], None]:
    """Progress that raises at the nth report; with no pause between reports there is one after every batch."""
    reports = itertools.count()

    def progress(stage: str, done: float, total: float) -> None:
        if next(reports) == report:
            raise Killed

    return progress


def run(**options: Any) -> Run:
    return Run(Classification(classes=3), precision="float32", **options)


def linear(weights: list[float]) -> nn.Linear:
    model = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]))
    return model


def output(model: nn.Module, batch: Batch) -> Tensor:
    """A loss whose gradient is the sum of the inputs."""
    return model(batch.x).sum()


def rows(*values: list[float]) -> Samples:
    return Samples.from_tensors(
        torch.tensor(values), torch.zeros(len(values)).long(), ids=list("abcdef"[: len(values)])
    )
