"""RUM: divide the forget set by how much of it is memorised, and treat each part as hard as it needs.

Zhao, Kurmanji, Barbulescu, Triantafillou, Triantafillou, "What makes unlearning hard and what to do about it", NeurIPS
2024, arXiv 2406.01257.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.base import check_classification, check_positive
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.random_labels import with_random_labels
from obliviate.training.run import Run
from obliviate.training.saliency import saliency_mask
from obliviate.training.update import Update
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class RUM:
    """Leave the least memorised third of D_F alone, fine-tune on D_R for the middle one, then SalUn for the most.

    Memorisation is told by a proxy: the original model's loss on the sample, high for what it knows only by heart.
    `medium_epochs` are passes over D_R (fine-tuning); each of `high_epochs` is one over the highest third with random
    wrong labels, then one over D_R, with only the top share `saliency` of the weights free.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], RUM(learning_rate=0.01)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "rum"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Zhao et al., NeurIPS 2024, arXiv 2406.01257"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    medium_epochs: Length = 1
    high_epochs: Length = 1
    optimizer: OptimizerName = "sgd"
    learning_rate: Rate = 0.06
    momentum: Momentum = 0.5
    weight_decay: WeightDecay = 5e-4
    saliency: float = 0.5
    batch_size: BatchSize = 128

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "saliency")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        classes = check_classification(self, run.task).classes
        medium, high, size = whole(self, "medium_epochs", "high_epochs", "batch_size")

        def wrong(model: nn.Module, batch: Batch) -> Tensor:
            return run.task.loss(model, with_random_labels(batch, classes=classes, seed=run.seed))

        scores = run.once("memorisation", lambda: memorisation(model, split.forget, run))["score"]
        _, _, highest = thirds(split.forget, scores)
        retain, optimizer = run.augmented(split.kept), run.optimizer(model, self)
        for epoch in run.epochs("rum_medium", medium, model=model, optimizer=optimizer):
            run.fit(model, run.batches(retain, size, epoch), run.task.loss, optimizer)

        mask = run.once("saliency", lambda: saliency_mask(model, highest, run.task, share=self.saliency))
        forget, optimizer = run.augmented(highest), run.optimizer(model, self)
        for epoch in run.epochs("rum_high", high, model=model, optimizer=optimizer):
            for samples, loss in ((forget, wrong), (retain, run.task.loss)):
                batches = run.batches(samples, size, medium + epoch)
                run.fit(model, batches, loss, optimizer, update=Update(mask=mask))
        return model


@torch.no_grad()
def memorisation(model: nn.Module, samples: Samples, run: Run) -> dict[str, Tensor]:
    """A proxy of how much each sample is memorised: the model's loss on it, in evaluation mode."""
    with evaluating(model):  # class weights say what an error costs, and nothing of what is memorised
        losses = [run.task.per_sample(model(batch.x).float(), batch.y) for batch in run.in_order(samples)]
    return {"score": torch.cat(losses)}


def thirds(samples: Samples, scores: Tensor) -> tuple[Samples, Samples, Samples]:
    """Divide samples by their scores into the lowest, the middle and the highest third; a remainder goes upwards.

    >>> samples = Samples.from_tensors(torch.zeros(4, 1), torch.zeros(4), ids=list("abcd"))
    >>> [part.ids.tolist() for part in thirds(samples, torch.tensor([0.3, 0.1, 0.4, 0.2]))]
    [['b'], ['d'], ['a', 'c']]
    """
    n = len(samples)
    ranked = samples.ids[scores.cpu().argsort(stable=True).numpy()]
    low, medium, high = ranked[: n // 3], ranked[n // 3 : 2 * n // 3], ranked[2 * n // 3 :]
    return samples.select(low), samples.select(medium), samples.select(high)
