"""NegGrad+: descend on the retain set and ascend on the forget set at once (Kurmanji et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class NegGradPlus:
    """Minimise β · L(D_R) − (1 − β) · L(D_F) over pairs of batches, the shorter set cycling.

    Kurmanji et al. 2023, section 4 ("NegGrad+"). Works with any task that has a loss.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], NegGradPlus(beta=0.99)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "neg_grad_plus"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880"

    beta: float = 0.95
    epochs: Length = "15%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_schedule(self)
        if not 0 <= self.beta < 1:
            raise MethodError(f"expected beta in [0, 1), got {self.beta}; 0.95 to 0.99 are usual")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")

        def loss(model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
            return self.beta * run.task.loss(model, retain) - (1 - self.beta) * run.task.loss(model, forget)

        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * len(run.paired(forget, retain, size, 0, steps="longest"))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("neg_grad_plus", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.paired(forget, retain, size, epoch, steps="longest")
            run.fit(model, batches, loss, optimizer, scheduler=scheduler)
        return model
