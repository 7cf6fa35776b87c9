"""NegGrad+: descend on the retain set and ascend on the forget set at once (Kurmanji et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_positive, check_schedule
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class NegGradPlus:
    """Minimise β · L(D_R) − (1 − β) · L(D_F) over pairs of batches, the shorter set cycling.

    Kurmanji et al. 2023, section 4 ("NegGrad+"). Works with any task that has a loss.
    """

    name: ClassVar[str] = "neg_grad_plus"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880"

    beta: float = 0.98
    epochs: int = 2
    learning_rate: float = 0.13
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "constant"
    batch_size: int = 128

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate", "batch_size")
        check_schedule(self)
        if not 0 <= self.beta < 1:
            raise MethodError(f"expected beta in [0, 1), got {self.beta}; 0.95 to 0.99 are usual")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        def loss(model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
            return self.beta * run.task.loss(model, retain) - (1 - self.beta) * run.task.loss(model, forget)

        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        steps = self.epochs * len(run.paired(forget, retain, self.batch_size, 0, steps="longest"))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("neg_grad_plus", self.epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.paired(forget, retain, self.batch_size, epoch, steps="longest")
            run.fit(model, batches, loss, optimizer, scheduler=scheduler)
        return model
