"""Gradient ascent on the forget set (Thudi et al. 2022; Graves et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.training.update import Update
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class GradientAscent:
    """Maximise the loss of the forget set, with gradients clipped by their norm so that one batch cannot wreck it.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], GradientAscent(epochs=1)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "gradient_ascent"
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Thudi et al., EuroS&P 2022; Graves et al., AAAI 2021"

    epochs: Length = "25%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "0.1x"
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = None
    clip_norm: float = 1.0
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "clip_norm")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        def ascent(model: nn.Module, batch: Batch) -> Tensor:
            return -run.task.loss(model, batch)

        epochs, size = whole(self, "epochs", "batch_size")
        optimizer = run.optimizer(model, self)
        for epoch in run.epochs("gradient_ascent", epochs, model=model, optimizer=optimizer):
            batches = run.batches(split.forget, size, epoch)
            run.fit(model, batches, ascent, optimizer, update=Update(clip_norm=self.clip_norm))
        return model
