"""Random labels: train on wrong labels for the forget set, then on the retain set (Graves et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_classification, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.random_labels import with_random_labels
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class RandomLabel:
    """Train in each epoch on the forget set with random wrong labels, then on the retain set.

    Graves et al. 2021, section 4; Golatkar et al. 2020, section 6. A sample keeps its wrong label for the whole run.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], RandomLabel(learning_rate="0.1x")).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "random_label"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Graves et al., AAAI 2021; Golatkar et al., CVPR 2020"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    epochs: Length = "25%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1x"
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = 0.0
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        classes = check_classification(self, run.task).classes
        epochs, size = whole(self, "epochs", "batch_size")

        def wrong(model: nn.Module, batch: Batch) -> Tensor:
            return run.task.loss(model, with_random_labels(batch, classes=classes, seed=run.seed))

        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * sum(len(run.batches(samples, size, 0)) for samples in (forget, retain))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("random_label", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            for samples, loss in ((forget, wrong), (retain, run.task.loss)):
                batches = run.batches(samples, size, epoch)
                run.fit(model, batches, loss, optimizer, scheduler=scheduler)
        return model
