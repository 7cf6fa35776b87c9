"""Fine-tuning on the retain set: forgetting by not being reminded (Warnecke et al. 2023; Golatkar et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from obliviate.data.split import Split
from obliviate.methods.base import check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Go on training on the retain set alone.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], FineTune(learning_rate="0.5x")).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "fine_tune"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Warnecke et al., NDSS 2023; Golatkar et al., CVPR 2020"

    epochs: Length = "25%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1.5x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        retain = run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * len(run.batches(retain, size, 0))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("fine_tune", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.batches(retain, size, epoch)
            run.fit(model, batches, run.task.loss, optimizer, scheduler=scheduler)
        return model
