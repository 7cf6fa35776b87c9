"""ReGUn: answer forget samples as the original answers unseen samples of the same classes (Mirlach et al. 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.inference import outputs
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class ReGUn:
    """Distil each forget batch to the original's mean output on holdout samples with the same class counts.

    Mirlach et al. 2026: λ · KL(q ‖ p_θ) on the forget batch + (1 − λ) · CE on a retain batch, where q is the
    mean of what the original model, which never changes, says of holdout samples drawn anew for every batch, as many
    of each class as there are forget samples of it. An epoch is a pass over the retain set, in which
    forget batches come again.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> unseen = make_moons(20, noise=0.1, random_state=1)
    >>> model.unlearn([0, 1, 2], ReGUn(learning_rate="0.1x"), holdout=unseen).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "regun"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "holdout", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Mirlach et al., ICLR 2026 workshops, arXiv 2603.11210"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    forget_weight: float = 0.2
    epochs: Length = "20%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "0.5x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "forget_weight")
        if self.forget_weight > 1:
            raise MethodError(f"expected forget_weight in (0, 1], got {self.forget_weight}; the paper's is 0.5")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        assert split.holdout is not None
        unseen = run.place(outputs(model, split.holdout).softmax(1))
        labels = split.holdout.targets

        def prepare(forget: Batch, retain: Batch) -> tuple[Batch, Batch, Tensor]:
            aim = unseen[run.place(drawn(labels, forget.y.cpu()))].mean(0)
            return forget, retain, aim.expand(len(forget), -1)

        def loss(model: nn.Module, forget: Batch, retain: Batch, aims: Tensor) -> Tensor:
            log_probabilities = F.log_softmax(model(forget.x).float(), dim=1)
            distilled = F.kl_div(log_probabilities, aims, reduction="batchmean")
            return self.forget_weight * distilled + (1 - self.forget_weight) * run.task.loss(model, retain)

        forget, retain = run.augmented(split.forget), run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * len(run.paired(forget, retain, size, 0, steps="longest"))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("regun", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.paired(forget, retain, size, epoch, steps="longest")
            run.fit(model, batches, loss, optimizer, scheduler=scheduler, prepare=prepare)
        return model


def drawn(labels: Int[Tensor, " unseen"], y: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Draw, for each of `y`, the place of a sample with this label, with replacement; of any label where it is missing.

    >>> drawn(torch.tensor([4, 7]), torch.tensor([7, 4, 7])).tolist()
    [1, 0, 1]
    """
    rows = torch.empty_like(y)
    for label in y.unique():
        places = (labels == label).nonzero().flatten()
        places = places if len(places) else torch.arange(len(labels))
        wanted = y == label
        rows[wanted] = places[torch.randint(len(places), (int(wanted.sum()),))]
    return rows
