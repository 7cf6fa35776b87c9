"""Gradient ascent on the forget set (Thudi et al. 2022; Graves et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class GradientAscent:
    """Maximise the loss of the forget set, with gradients clipped by their norm so that one batch cannot wreck it."""

    name: ClassVar[str] = "gradient_ascent"
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Thudi et al., EuroS&P 2022; Graves et al., AAAI 2021"

    epochs: int = 10
    learning_rate: float = 0.012
    momentum: float = 0.0
    clip_norm: float = 1.0
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate", "clip_norm", "batch_size")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        def ascent(model: nn.Module, batch: Batch) -> Tensor:
            return -run.task.loss(model, batch)

        optimizer = torch.optim.SGD(model.parameters(), lr=self.learning_rate, momentum=self.momentum)
        for epoch in run.epochs("gradient_ascent", self.epochs, model=model, optimizer=optimizer):
            batches = run.batches(split.forget, self.batch_size, epoch)
            run.fit(model, batches, ascent, optimizer, clip_norm=self.clip_norm)
        return model
