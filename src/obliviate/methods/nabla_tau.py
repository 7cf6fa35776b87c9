"""∇τ: raise the forget set's loss to that of unseen samples, and no further.

Trippa, Campagnano, Bucarelli, Tolomei, Silvestri, "∇τ: Gradient-based and Task-Agnostic Machine Unlearning", 2024,
arXiv 2403.14339.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from obliviate.data.loading import Batches
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import WhenNone, check_classification, check_positive, check_schedule, needs_less
from obliviate.methods.relative import (
    BatchSize,
    LeastSteps,
    Length,
    Momentum,
    OptimizerName,
    Passes,
    Rate,
    WeightDecay,
    check,
    passes,
    whole,
)
from obliviate.task import Task
from obliviate.training.inference import mean_loss
from obliviate.training.run import Run
from obliviate.training.update import Update
from obliviate.types import Batch

LOG_CLASSES: Final = "log_classes"  # τ = log K, the loss of a model that knows nothing
MOST_ALPHA: Final = 0.9  # a multiple of the forgotten share may pass 1
FEW_EPOCHS: Final = 5  # with fewer forget-epochs than this, α decays at every step instead of every epoch


@dataclass(frozen=True, kw_only=True)
class NablaTau:
    """Ascend on the forget set until its loss is that of unseen samples, while descending on the retain set.

    L = α · ReLU(τ − L̄_F)² + (1 − α) · L̄_R, section 3 of the paper. Works with any task that has a loss.

    τ is the mean loss of the holdout set D_V under the current model, taken anew every `refresh` forget-epochs.
    D_V is whatever `split.holdout` holds: for a biased forget set, give unseen samples that are like it. A number in
    `tau`, or "log_classes" for the loss of a model that knows nothing, replaces it (for whole classes); then no
    holdout is needed. `alpha` is α_0, which falls linearly to 0 over the run; None is
    min(`alpha_per_share` · |D_F|/|D|, 0.9).
    `epochs` counts forget-epochs: passes over D_F, each batch beside the next batch of D_R. None makes
    `retain_passes` passes over D_R of them, as many more as `least_steps` steps take, and at most `most_epochs`.
    In `train_mode` batch-norm statistics follow the weights, which move far; the paper keeps the model in evaluation
    mode. `clip_norm` bounds the gradient's L2 norm: the squared gap makes the ascent of a few batches explosive.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> unseen = make_moons(20, noise=0.1, random_state=1)
    >>> model.unlearn([0, 1, 2], NablaTau(alpha=0.1), holdout=unseen).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "nabla_tau"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "holdout", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Trippa et al., 2024, arXiv 2403.14339"
    when_none: ClassVar[WhenNone] = {
        "always": {
            "tau": "the loss of the holdout set",
            "alpha": f"alpha_per_share times the forgotten share, at most {MOST_ALPHA}",
            "epochs": "retain_passes passes over the retain set, least_steps steps or more, at most most_epochs",
        }
    }

    tau: float | str | None = None
    alpha: float | None = None
    alpha_per_share: float = 2.5
    epochs: Length | None = None
    retain_passes: Passes = "15%"
    least_steps: LeastSteps = 60
    most_epochs: int = 80
    refresh: int = 1
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None
    train_mode: bool = True
    clip_norm: float | None = 1.0

    @classmethod
    def paper(cls, *, text: bool = False, **settings: Any) -> NablaTau:
        """The settings of the paper: for images, or for texts and fine-tuned transformers.

        >>> NablaTau.paper().retain_passes, NablaTau.paper(text=True, alpha=0.3).alpha
        (3.0, 0.3)
        """
        published: dict[str, Any] = {"optimizer": "adamw", "momentum": 0.9, "weight_decay": 0.01, "refresh": 5}
        published |= {"clip_norm": None, "alpha_per_share": 5 / 3, "least_steps": 0}
        if text:
            published |= {"alpha": 0.5, "learning_rate": 3e-4, "schedule": "constant", "batch_size": 128}
            published |= {"retain_passes": 0.5, "train_mode": True}
        else:
            published |= {"learning_rate": 1e-3, "schedule": "linear_to_tenth", "batch_size": 256}
            published |= {"retain_passes": 3.0, "train_mode": False}
        return cls(**(published | settings))

    def __post_init__(self) -> None:
        check(self)
        check_positive(
            self, "alpha_per_share", "most_epochs", "refresh", *(["clip_norm"] if self.clip_norm is not None else [])
        )
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise MethodError(
                f"expected alpha in (0, 1), got {self.alpha}; leave it out for alpha_per_share · |D_F|/|D|"
            )
        if isinstance(self.tau, str) and self.tau != LOG_CLASSES:
            raise MethodError(f"expected tau to be a number or {LOG_CLASSES!r}, got {self.tau!r}; correct it")
        if not isinstance(self.tau, str | None) and not math.isfinite(self.tau):
            raise MethodError(f"expected a finite tau, got {self.tau}; give a loss, or a holdout set and no tau")
        check_schedule(self)
        if self.tau is not None:
            needs_less(self, "holdout")

    def settled(self, split: Split) -> NablaTau:
        """Fill in what depends on the sizes of the sets; raises MethodError for a holdout set that will not do."""
        if self.tau is None:
            _check_holdout(split)
        alpha, epochs = self.alpha, self.epochs
        if alpha is None:
            alpha = min(self.alpha_per_share * len(split.forget) / (len(split.forget) + len(split.kept)), MOST_ALPHA)
        if epochs is None:
            size, least = whole(self, "batch_size", "least_steps")
            forget, retain = (len(Batches(samples, size)) for samples in (split.forget, split.kept))
            epochs = max(int(passes(self) * retain / forget), math.ceil(least / forget), 1)
            epochs = min(epochs, self.most_epochs)
        return replace(self, alpha=alpha, epochs=epochs)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        me = self.settled(split)
        assert me.alpha is not None
        epochs, size = whole(me, "epochs", "batch_size")
        alpha, target = me.alpha, {"tau": self._given_tau(run.task)}
        weights = iter(())

        def prepare(forget: Batch, retain: Batch) -> tuple[Batch, Batch, float]:
            return forget, retain, next(weights)

        def loss(model: nn.Module, forget: Batch, retain: Batch, weight: float) -> Tensor:
            losses = run.task.loss(model, forget), run.task.loss(model, retain)
            reached, kept = run.batch_means((losses[0], forget), (losses[1], retain))
            if float(reached.detach()) >= target["tau"]:
                reached = reached.detach()  # the gradient is 0: spares the backward pass through the forget batch
            return objective(reached, kept, target["tau"], weight)

        optimizer = run.optimizer(model, self)
        scheduler = run.schedule(self.schedule, optimizer, steps=epochs)
        state = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "target": target}
        for epoch in run.epochs("nabla_tau", epochs, **state):
            if split.holdout is not None and self.tau is None and epoch % self.refresh == 0:
                target["tau"] = mean_loss(model, split.holdout, run.task)
            batches = run.paired(split.forget, split.kept, size, epoch)
            weights = iter(decay(alpha, epoch, epochs, len(batches)))
            options: dict[str, Any] = {"update": Update(clip_norm=self.clip_norm, uneven=True), "prepare": prepare}
            run.fit(model, batches, loss, optimizer, training=self.train_mode, **options)
            scheduler.step()
        run.notes |= {"tau": target["tau"], "forget_epochs": float(epochs)}
        return model

    def _given_tau(self, task: Task) -> float:
        if self.tau == LOG_CLASSES:
            return math.log(check_classification(self, task).classes)
        return 0.0 if self.tau is None else float(self.tau)


def objective(forget: Float[Tensor, ""], retain: Float[Tensor, ""], tau: float, alpha: float) -> Float[Tensor, ""]:
    """Return α · ReLU(τ − L̄_F)² + (1 − α) · L̄_R.

    >>> import torch
    >>> objective(torch.tensor(0.5), torch.tensor(1.0), tau=2.5, alpha=0.25)
    tensor(1.7500)
    """
    return alpha * F.relu(tau - forget) ** 2 + (1 - alpha) * retain


def decay(alpha: float, epoch: int, epochs: int, steps: int) -> list[float]:
    """The weight α of each step of an epoch: α_0 (1 − i/E), where the progress i/E moves by steps if E is very small.

    >>> decay(0.5, epoch=5, epochs=10, steps=2), decay(0.5, epoch=1, epochs=2, steps=2)
    ([0.25, 0.25], [0.25, 0.125])
    """
    within = [step / steps if epochs < FEW_EPOCHS else 0.0 for step in range(steps)]
    return [alpha * (1 - (epoch + part) / epochs) for part in within]


def _check_holdout(split: Split) -> None:
    """Refuse a missing holdout set; that none of it was trained on, the split makes sure itself."""
    if split.holdout is None:
        raise MethodError(
            "expected a holdout set for nabla_tau, got none; it needs unseen holdout samples: "
            "`train --holdout-size N`, `Experiment(..., holdout=...)` or `Split.of(..., holdout=...)`, or a given `tau`"
        )
