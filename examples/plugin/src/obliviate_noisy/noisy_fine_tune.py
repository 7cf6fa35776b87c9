"""Noisy fine-tuning: blur what the weights hold of single samples, then learn the retained ones again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from obliviate import Run, Split
from obliviate.methods import SGD, check_positive


@dataclass(frozen=True, kw_only=True)
class NoisyFineTune:
    """Add Gaussian noise to the weights, then fine-tune on the retain set.

    `noise` is the standard deviation of what is added to a tensor, as a share of the tensor's own.
    """

    name: ClassVar[str] = "noisy_fine_tune"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "an example; noise on the weights as in Neel et al., ALT 2021, but before the training"

    noise: float = 0.6
    epochs: int = 3
    learning_rate: float = 0.05
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_positive(self, "noise", "epochs", "learning_rate", "batch_size")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = run.optimizer(model, SGD(learning_rate=self.learning_rate, weight_decay=5e-4))
        for epoch in run.epochs("noisy_fine_tune", self.epochs, model=model, optimizer=optimizer):
            if epoch == 0:
                self.blur(model)
            run.fit(model, run.batches(split.kept, self.batch_size, epoch), run.task.loss, optimizer)
        return model

    @torch.no_grad()
    def blur(self, model: nn.Module) -> None:
        for weight in model.parameters():
            spread = weight.std(correction=0)
            weight.add_(torch.randn_like(weight), alpha=self.noise * float(spread))
