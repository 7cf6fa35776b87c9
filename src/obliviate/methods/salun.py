"""SalUn: random labels, changing only the weights that the forget set depends on most (Fan et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_classification, check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.random_labels import with_random_labels
from obliviate.training.run import Run
from obliviate.training.saliency import saliency_mask
from obliviate.training.update import Update
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class SalUn:
    """Train on random wrong labels of the forget set, then on the retain set, with salient weights free.

    Fan et al. 2024, eq. 3–6 and Algorithm 1. Salient is the top share `saliency` of |Σ ∇ℓ(θ_o; D_F)|; all other
    weights stay bit-identical to the original's.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], SalUn(saliency=0.1)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "salun"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Fan et al., ICLR 2024, arXiv 2310.12508"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    saliency: float = 0.3
    epochs: Length = "25%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "0.5x"
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "saliency")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        classes = check_classification(self, run.task).classes
        epochs, size = whole(self, "epochs", "batch_size")

        def wrong(model: nn.Module, batch: Batch) -> Tensor:
            return run.task.loss(model, with_random_labels(batch, classes=classes, seed=run.seed))

        mask = run.once("saliency", lambda: saliency_mask(model, split.forget, run.task, share=self.saliency))
        update = Update(mask=mask)
        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * sum(len(run.batches(samples, size, 0)) for samples in (forget, retain))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("salun", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            for samples, loss in ((forget, wrong), (retain, run.task.loss)):
                batches = run.batches(samples, size, epoch)
                run.fit(model, batches, loss, optimizer, scheduler=scheduler, update=update)
        return model
