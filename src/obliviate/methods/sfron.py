"""SFRon: climb the forget loss in salient weights while training on the retain set (Huang et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from jaxtyping import Float
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.importance import importances
from obliviate.training.run import Run
from obliviate.training.update import Update
from obliviate.types import Batch

TINY: Final = 1e-15  # keeps quotients finite


@dataclass(frozen=True, kw_only=True)
class SFRon:
    """Descend on the retain set, and before every few of these steps climb the loss of forget samples in some weights.

    Huang et al. 2024 ("Saliency Forgetting in the Remain-preserving manifold online") and their code. A forget sample
    with loss ℓ counts in proportion to 1/ℓ^λ, so that what is forgotten already is left alone; the weight α of the step
    falls to 0 along half a cosine, and its gradient is clipped. Only weights with F_F ≥ γ·F_R change in it: F are mean
    squared gradients on the forget and on the retain set.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], SFRon(alpha=1.0)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "sfron"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Huang et al., NeurIPS 2024, arXiv 2409.19732"

    alpha: float = 5.0
    every: int = 2
    lambda_: float = 0.5
    gamma: float = 1.0
    clip_norm: float = 7.0
    epochs: Length = "25%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "2x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "alpha", "every", "gamma", "clip_norm")
        if self.lambda_ < 0:
            raise MethodError(f"expected lambda_ of 0 or more, got {self.lambda_}; 0 lets all samples count alike")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        mask = run.once("salient", lambda: self._salient(model, split, run, size))
        update = Update(clip_norm=self.clip_norm, mask=mask)
        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        per_epoch = len(run.paired(forget, retain, size, 0, steps="longest"))
        steps, step = epochs * per_epoch, iter(range(0))

        def climb(model: nn.Module, batch: Batch, alpha: float) -> Tensor:
            (losses,) = run.whole_batch(run.task.losses(model, batch))
            return -alpha * adaptive(losses, self.lambda_)

        def prepare(forget: Batch, retain: Batch) -> tuple[Batch]:
            done = next(step)
            if done % self.every == 0:
                alpha = self.alpha * (1 + math.cos(math.pi * done / steps)) / 2
                run.step(model, (forget, alpha), climb, optimizer, update=update)
            return (retain,)

        optimizer = run.optimizer(model, self)
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("sfron", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            step = iter(range(epoch * per_epoch, steps))
            batches = run.paired(forget, retain, size, epoch, steps="longest")
            run.fit(model, batches, run.task.loss, optimizer, scheduler=scheduler, prepare=prepare)
        return model

    def _salient(self, model: nn.Module, split: Split, run: Run, batch_size: int) -> dict[str, Tensor]:
        size = min(batch_size, len(split.forget))  # a mean over fewer samples has larger squares
        forget, retain = (importances(model, samples, run, size) for samples in (split.forget, split.kept))
        mask = {name: value + TINY >= self.gamma * (retain[name] + TINY) for name, value in forget.items()}
        if not any(bool(part.any()) for part in mask.values()):
            raise MethodError(f"expected weights with F_F of {self.gamma}·F_R or more, got none; lower gamma")
        return mask


def adaptive(losses: Float[Tensor, " n"], power: float) -> Float[Tensor, ""]:
    """The mean of losses, each in proportion to its own value to the minus `power`, which has no gradient.

    >>> import torch
    >>> round(float(adaptive(torch.tensor([1.0, 4.0]), 0.5)), 4)
    2.0
    """
    weights = 1 / (losses.detach() ** power + TINY)
    return (weights * losses).sum() / weights.sum()
