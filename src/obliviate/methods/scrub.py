"""SCRUB: leave the teacher on the forget set, stay with it on the retain set (Kurmanji et al. 2023)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class Scrub:
    """Alternate between maximising KL(teacher ‖ student) on D_F and minimising γ · CE + α · KL on D_R.

    Kurmanji et al. 2023, eq. 3 and Algorithm 1. The teacher is a copy of the original model that never changes. Each of
    the `epochs` ends with a pass over D_R; the first `max_epochs` of them begin with a pass over D_F.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], Scrub(alpha=0.1)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "scrub"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880"

    epochs: Length = 1
    max_epochs: Length = 1
    gamma: float = 0.99
    alpha: float = 0.5
    temperature: float = 4.0
    optimizer: OptimizerName = "adam"
    learning_rate: Rate = 2e-3
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4
    schedule: str = "constant"
    batch_size: BatchSize = 64
    forget_batch_size: BatchSize = 64

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "temperature")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, forget_epochs = whole(self, "epochs", "max_epochs")
        size, forget_size = whole(self, "batch_size", "forget_batch_size")
        teacher = copy.deepcopy(model).eval().requires_grad_(False)

        def away(model: nn.Module, batch: Batch) -> Tensor:
            return -run.task.divergence(model(batch.x), teacher(batch.x), batch.y, temperature=self.temperature)

        def near(model: nn.Module, batch: Batch) -> Tensor:
            distilled = run.task.divergence(model(batch.x), teacher(batch.x), batch.y, temperature=self.temperature)
            return self.gamma * run.task.loss(model, batch) + self.alpha * distilled

        retain = run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        away_steps, near_steps = (
            len(run.batches(samples, batch_size, 0))
            for samples, batch_size in ((split.forget, forget_size), (retain, size))
        )
        steps = min(forget_epochs, epochs) * away_steps + epochs * near_steps
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("scrub", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            if epoch < forget_epochs:
                batches = run.batches(split.forget, forget_size, epoch)
                run.fit(model, batches, away, optimizer, scheduler=scheduler)
            run.fit(model, run.batches(retain, size, epoch), near, optimizer, scheduler=scheduler)
        return model
