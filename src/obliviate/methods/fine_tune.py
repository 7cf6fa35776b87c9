"""Fine-tuning on the retain set: forgetting by not being reminded (Warnecke et al. 2023; Golatkar et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive, check_schedule
from obliviate.training.run import Run


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Go on training on the retain set alone."""

    name: ClassVar[str] = "fine_tune"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Warnecke et al., NDSS 2023; Golatkar et al., CVPR 2020"

    epochs: int = 2
    learning_rate: float = 0.16
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate", "batch_size")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        retain = run.augmented(split.kept)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        steps = self.epochs * len(run.batches(retain, self.batch_size, 0))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("fine_tune", self.epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.batches(retain, self.batch_size, epoch)
            run.fit(model, batches, run.task.loss, optimizer, scheduler=scheduler)
        return model
