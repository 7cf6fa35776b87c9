"""ℓ1-sparse: fine-tune on the retain set while pulling weights towards zero (Jia et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class L1Sparse:
    """Minimise L(D_R) + γ_e · ‖θ‖₁, with γ_e = γ (1 − e/E) falling from epoch to epoch.

    Jia et al. 2023, eq. 3 ("ℓ1-sparse MU") with their best, linearly decreasing, schedule of γ. Works with any task.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], L1Sparse(gamma=1e-5)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "l1_sparse"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Jia et al., NeurIPS 2023, arXiv 2304.04934"

    gamma: float = 1e-4
    epochs: Length = "20%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1.5x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "gamma")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        retain = run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * len(run.batches(retain, size, 0))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("l1_sparse", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            gamma = self.gamma * (1 - epoch / epochs)

            def loss(model: nn.Module, batch: Batch, gamma: float = gamma) -> Tensor:
                return run.task.loss(model, batch) + gamma * l1_norm(model)

            run.fit(model, run.batches(retain, size, epoch), loss, optimizer, scheduler=scheduler)
        return model


def l1_norm(model: nn.Module) -> Tensor:
    """‖θ‖₁: the sum of all weights' absolute values.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, -3.0)
    >>> l1_norm(model).item()
    6.0
    """
    return torch.stack([weight.abs().sum() for weight in model.parameters() if weight.requires_grad]).sum()
