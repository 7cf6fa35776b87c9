"""MSG: re-initialise the weights that tell forget from retain samples least, then repair the model (Cadet et al. 2024).

Second of the NeurIPS 2023 unlearning challenge; "Masked Small Gradients" in Cadet et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_positive, check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.gradients import gradients
from obliviate.training.run import Run
from obliviate.training.update import Update

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True, kw_only=True)
class MSG:
    """Re-initialise the weights with the smallest gradient difference, then go on training on the retain set.

    The difference is |∇L(D_R') − ∇L(D_F)|, where D_R' are as many retained samples as there are forget samples. Of each
    convolution and linear layer the share `share` of the weights where it is smallest is drawn anew (He et al. 2015);
    in the repair the gradients of the layer's other weights are multiplied by `kept_gradient`.

    >>> from sklearn.datasets import make_moons
    >>> from obliviate import UnlearningClassifier
    >>> X, y = make_moons(100, noise=0.1, random_state=0)
    >>> model = UnlearningClassifier(epochs=20, random_state=0).fit(X, y)
    >>> model.unlearn([0, 1, 2], MSG(share=0.1)).score(X, y) > 0.9
    True
    """

    name: ClassVar[str] = "msg"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "NeurIPS 2023 unlearning challenge; Cadet et al., arXiv 2410.01276"

    share: float = 0.5
    kept_gradient: float = 1.0
    epochs: Length = "25%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "1.5x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_positive(self, "share")
        if self.share > 1:
            raise MethodError(f"expected share in (0, 1], got {self.share}; 1 draws every weight anew")
        if not 0 <= self.kept_gradient <= 1:
            raise MethodError(f"expected kept_gradient in [0, 1], got {self.kept_gradient}; 1 trains all weights alike")
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        differ = run.once("differences", lambda: differences(model, split, run, size))
        masks = {name: smallest(values, self.share) for name, values in differ.items()}
        weights = layer_weights(model)
        redraw(weights, masks, seed=derive(run.seed, "redrawn"))
        scale = {name: torch.where(mask, 1.0, self.kept_gradient) for name, mask in masks.items()}
        update = Update(gradient_scale=scale)
        retain = run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * len(run.batches(retain, size, 0))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("msg", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            batches = run.batches(retain, size, epoch)
            run.fit(model, batches, run.task.loss, optimizer, scheduler=scheduler, update=update)
        return model


def layer_weights(model: nn.Module) -> dict[str, Tensor]:
    """The trainable weights of convolution and linear layers, by name; raises MethodError where there are none."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LAYERS)}
    weights = {f"{name}.weight": layer.weight for name, layer in layers.items() if layer.weight.requires_grad}
    if not weights:
        raise MethodError(
            f"expected a model with convolutions or linear layers for msg, got {type(model).__name__} without any; "
            "use a method that works with any model, such as fine_tune"
        )
    return weights


def differences(model: nn.Module, split: Split, run: Run, batch_size: int) -> dict[str, Tensor]:
    """|∇L(D_R') − ∇L(D_F)| of mean losses, in evaluation mode, on samples as they are."""
    weights, forget, retain = layer_weights(model), split.forget, split.kept
    generator = torch.Generator().manual_seed(derive(run.seed, "compared"))
    chosen = torch.randperm(len(retain), generator=generator)[: len(forget)]
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for sign, samples in ((1, retain.select(retain.ids[chosen.numpy()])), (-1, forget)):
        for batch, gradient in gradients(model, run.batches(samples, batch_size, 0), run.task.loss):
            for name in sums.keys() & gradient.keys():
                sums[name].add_(gradient[name], alpha=sign * len(batch) / len(samples))
    return {name: total.abs() for name, total in sums.items()}


def smallest(values: Float[Tensor, ...], share: float) -> Bool[Tensor, ...]:
    """Mark the smallest values, round(share · size) of them.

    >>> smallest(torch.tensor([3.0, 1.0, 2.0, 4.0]), 0.5)
    tensor([False,  True,  True, False])
    """
    mask = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    mask[values.flatten().argsort(stable=True)[: round(share * values.numel())]] = True
    return mask.view(values.shape)


@torch.no_grad()
def redraw(weights: dict[str, Tensor], masks: dict[str, Bool[Tensor, ...]], *, seed: int) -> None:
    """Draw the marked weights anew: N(0, 2 / fan), of a convolution the fan-out, of a linear layer the fan-in."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in weights.items():
        mode = "fan_out" if weight.ndim > 2 else "fan_in"
        fresh = nn.init.kaiming_normal_(torch.empty(weight.shape), mode=mode, nonlinearity="relu", generator=generator)
        weight.copy_(torch.where(masks[name].cpu(), fresh, weight.cpu()))
