"""Bad teacher: learn from an ignorant teacher on the forget set and from the original elsewhere (Chundawat 2023)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from obliviate.data.split import Split
from obliviate.methods.base import check_positive
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run
from obliviate.types import Batch


@dataclass(frozen=True, kw_only=True)
class BadTeacher:
    """Distil from a randomly initialised teacher on the forget set, and from the original model on the retain set.

    Chundawat et al. 2023, eq. 3: KL(l · T_bad + (1 − l) · T_good ‖ student) with l = 1 on D_F, over shuffled batches of
    both sets. Needs no labels.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], BadTeacher(learning_rate="0.1x")).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "bad_teacher"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "recipe"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Chundawat et al., AAAI 2023, arXiv 2205.08096"

    epochs: Length = "10%"
    optimizer: OptimizerName = "adam"
    learning_rate: Rate = "1x"
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 0.0
    temperature: float = 1.0
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "temperature")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        good = copy.deepcopy(model).eval().requires_grad_(False)
        bad = run.fresh_model().eval().requires_grad_(False)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            forget = run.place(torch.from_numpy(np.isin(batch.ids, split.forget.ids)))
            competent, ignorant = good(batch.x), bad(batch.x)
            taught = torch.where(forget.view(-1, *[1] * (competent.ndim - 1)), ignorant, competent)
            return run.task.divergence(model(batch.x), taught, batch.y, temperature=self.temperature)

        data = run.augmented(split.forget.joined(split.kept))
        optimizer = run.optimizer(model, self)
        for epoch in run.epochs("bad_teacher", epochs, model=model, optimizer=optimizer):
            run.fit(model, run.batches(data, size, epoch), loss, optimizer)
        return model
