"""Boundary Shrink: give every forget sample the label of its nearest other class.

Chen, Gao, Liu, Peng, Wang, "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the Decision Boundary",
CVPR 2023, arXiv 2303.11570.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.methods.base import check_inside, check_positive, input_space
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.task import InputSpace
from obliviate.training.run import Run

CHUNK: Final = 256  # samples whose gradients are taken at a time


@dataclass(frozen=True, kw_only=True)
class BoundaryShrink:
    """Fine-tune on the forget set with y' = argmax f_o(x + bound·sign ∇ₓ CE), the original's label one FGSM step away.

    `bound` is the L∞ length of that step, as a share of the valid input range. Where the step does not change the
    prediction, y' is the most likely of the other classes there.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], BoundaryShrink(bound=0.2)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "boundary_shrink"
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "Chen et al., CVPR 2023, arXiv 2303.11570"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})

    epochs: Length = 1
    optimizer: OptimizerName = "sgd"
    learning_rate: Rate = 2e-3
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4
    bound: float = 0.2
    batch_size: BatchSize = 64

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "bound")

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        space = run.place(input_space(self, run.task, model))
        search = run.once("boundary_labels", lambda: self._labels(model, space.lifted(split.forget), space, run))
        run.notes["flipped_share"] = float(search["flipped"].float().mean())
        batch = run.place(split.forget).everything()
        relabelled = Samples.from_tensors(batch.x, search["y"], ids=split.forget.ids)
        data = run.augmented(relabelled)
        optimizer = run.optimizer(model, self)
        for epoch in run.epochs("boundary_shrink", epochs, model=model, optimizer=optimizer):
            run.fit(model, run.batches(data, size, epoch), run.task.loss, optimizer)
        return model

    def _labels(self, model: nn.Module, forget: Samples, space: InputSpace, run: Run) -> dict[str, Tensor]:
        bound = self.bound * space.width
        parts = [nearest_labels(model, batch.x, batch.y, space, bound=bound) for batch in run.in_order(forget, CHUNK)]
        y, flipped = (torch.cat(part) for part in zip(*parts, strict=True))
        return {"y": y, "flipped": flipped}


def nearest_labels(
    model: nn.Module,
    x: Float[Tensor, " n ..."],
    y: Int[Tensor, " n"],
    space: InputSpace,
    *,
    bound: float,
) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """For each sample, the wrong class that the model predicts after one FGSM step, and whether the step flipped it.

    The step is x + bound·sign ∇ₓ CE(f(x), y), clipped to the valid range (Goodfellow et al. 2015). Where the prediction
    there is still y, the label is the second most likely class there. Labels never equal y.
    Raises MethodError for inputs outside the range.
    """
    check_inside(space, x)
    point = x.detach().clone().requires_grad_()
    with evaluating(model):
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point).float(), y, reduction="sum"), point)
        with torch.no_grad():
            step = bound * space.held(x.flatten(1), gradient.flatten(1)).sign()
            logits = model(space.clamp(x.flatten(1) + step).view_as(x)).float()
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.argmax(1), logits.argmax(1) != y
