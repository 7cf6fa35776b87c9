"""A method that keeps the contract, for defective ones to be made of."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive
from obliviate.training.optimizers import SGD
from obliviate.training.run import Run


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Fine-tune on the retain set."""

    name: ClassVar[str] = "sound"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "none"

    epochs: int = 2
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate")

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return run.optimizer(model, SGD(learning_rate=self.learning_rate))

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = self.optimizer(model, run)
        for epoch in run.epochs("sound", self.epochs, model=model, optimizer=optimizer):
            run.fit(model, run.batches(split.kept, 64, epoch), run.task.loss, optimizer)
        return model
