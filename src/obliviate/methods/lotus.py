"""LoTUS: learn from the original, softened until forget samples are as often right as unseen ones (Spartalis 2025)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.base import check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.inference import outputs
from obliviate.training.run import Run
from obliviate.types import Batch

FAR_ENOUGH: Final = -0.01
"""How far forget accuracy may be below that of unseen samples before training stops, as in the authors' code."""


@dataclass(frozen=True, kw_only=True)
class LoTUS:
    """Learn from the original what it says of the forget set, softened by a temperature, and of the retain set.

    Spartalis et al. 2025 and their code: the targets are Gumbel-softmax samples of the original's logits, soft ones at
    temperature τ on the forget set and one-hot ones on the retain set. Before every epoch τ = exp(α · (accuracy of the
    model on D_F − accuracy of the original on the holdout set)); once the difference is −0.01 or less after the first
    epoch, it stops. Where forgotten classes have no retained samples, the accuracy to reach is 0.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> unseen = make_moons(20, noise=0.1, random_state=1)
    >>> model.unlearn([0, 1, 2], LoTUS(learning_rate="0.1x"), holdout=unseen).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "lotus"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "holdout", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Spartalis et al., CVPR 2025, arXiv 2503.18314"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    alpha: float = 16.0
    epochs: Length = "10%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1.5x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "alpha")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        assert split.holdout is not None
        teacher = copy.deepcopy(model).eval().requires_grad_(False)
        known_classes = np.isin(split.forget.targets.numpy(), split.kept.targets.numpy()).any()
        bound = accuracy(teacher, split.holdout) if known_classes else 0.0
        temperature = 1.0

        @torch.no_grad()
        def taught(batch: Batch) -> tuple[Batch, Tensor]:
            forget = run.place(torch.from_numpy(np.isin(batch.ids, split.forget.ids)))
            with run.precision.autocast():
                logits = teacher(batch.x).float()
            soft, hard = F.gumbel_softmax(logits, tau=temperature), F.gumbel_softmax(logits, hard=True)
            return batch, torch.where(forget[:, None], soft, hard)

        def loss(model: nn.Module, batch: Batch, target: Tensor) -> Tensor:
            return F.cross_entropy(model(batch.x).float(), target)

        data = run.augmented(split.forget.joined(split.kept))
        optimizer = run.optimizer(model, self)
        scheduler = run.schedule(self.schedule, optimizer, steps=epochs * len(run.batches(data, size, 0)))
        for epoch in run.epochs("lotus", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            ahead = accuracy(model, split.forget) - bound
            if epoch and ahead <= FAR_ENOUGH:
                break
            temperature = math.exp(self.alpha * ahead)
            run.notes["temperature"] = temperature
            batches = run.batches(data, size, epoch)
            run.fit(model, batches, loss, optimizer, scheduler=scheduler, prepare=taught)
        return model


def accuracy(model: nn.Module, samples: Samples) -> float:
    """The share of samples whose label has the largest output."""
    return float((outputs(model, samples).argmax(1) == samples.targets).float().mean())
