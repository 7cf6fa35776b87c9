"""CT: transpose the kernels of all convolutions, then repair the model on the retain set (Cadet et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from obliviate.data.split import Split
from obliviate.errors import MethodError
from obliviate.methods.base import check_schedule
from obliviate.methods.relative import BatchSize, Length, Momentum, OptimizerName, Rate, WeightDecay, check, whole
from obliviate.training.run import Run


@dataclass(frozen=True, kw_only=True)
class CT:
    """Swap height and width of every convolution kernel, then go on training on the retain set.

    Fifth of the NeurIPS 2023 unlearning challenge; "Convolution Transpose" in Cadet et al. 2024. Nothing of the forget
    set is read. Only two-dimensional convolutions with square kernels larger than 1 × 1 are transposed.

    >>> from sklearn.datasets import load_digits
    >>> from obliviate import UnlearningClassifier
    >>> def convolutional(features: int, outputs: int) -> nn.Module:
    ...     layers = nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, outputs)
    ...     return nn.Sequential(*layers)
    >>> X, y = load_digits(return_X_y=True)
    >>> model = UnlearningClassifier(module=convolutional, epochs=5, random_state=0).fit(X[:500] / 16, y[:500])
    >>> model.unlearn([0, 1, 2], CT(epochs=10)).score(X[:500] / 16, y[:500]) > 0.9
    True
    """

    name: ClassVar[str] = "ct"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "NeurIPS 2023 unlearning challenge; Cadet et al., arXiv 2410.01276"

    epochs: Length = "20%"
    optimizer: OptimizerName = "recipe"
    learning_rate: Rate = "0.25x"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: str = "cosine"
    batch_size: BatchSize = None

    def __post_init__(self) -> None:
        check(self)
        check_schedule(self)

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        epochs, size = whole(self, "epochs", "batch_size")
        run.notes["transposed_layers"] = float(transpose(model))
        retain = run.augmented(split.kept)
        optimizer = run.optimizer(model, self)
        steps = epochs * len(run.batches(retain, size, 0))
        scheduler = run.schedule(self.schedule, optimizer, steps=steps)
        for epoch in run.epochs("ct", epochs, model=model, optimizer=optimizer, scheduler=scheduler):
            run.fit(model, run.batches(retain, size, epoch), run.task.loss, optimizer, scheduler=scheduler)
        return model


@torch.no_grad()
def transpose(model: nn.Module) -> int:
    """Transpose the convolution kernels of a model, and return of how many layers; raises MethodError where of none.

    >>> layer = nn.Conv2d(1, 1, 2).requires_grad_(False)
    >>> _ = layer.weight.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> transpose(layer), layer.weight.flatten().tolist()
    (1, [1.0, 3.0, 2.0, 4.0])
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    layers = [layer for layer in layers if layer.kernel_size[0] == layer.kernel_size[1] > 1]
    if not layers:
        raise MethodError(
            f"expected a model with square convolution kernels for ct, got {type(model).__name__} without any; "
            "use a method that works with any model, such as msg or fine_tune"
        )
    for layer in layers:
        layer.weight.copy_(layer.weight.transpose(2, 3).clone())
    return len(layers)
