"""A model that wants normalised inputs, as a model of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalized(nn.Module):
    """A model that wants inputs less their mean, divided by their deviation, as a model of pixels in [0, 1].

    Give it to models of `timm` and `torchvision`, with the figures that they were trained by, and samples without
    that transform: what adversarial methods may change is then said by `input_range=(0.0, 1.0)`, one range for all
    channels. `mean` and `std` are one number for each channel. `model` is the model as it was given.

    >>> import torch
    >>> Normalized(nn.Identity(), mean=[0.5], std=[0.25])(torch.full((1, 1, 1, 1), 1.0))
    tensor([[[[2.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Float[Tensor, "n channels *size"]) -> Any:
        shape = (1, -1, *[1] * (x.ndim - 2))
        return self.model((x - self.mean.view(shape)) / self.std.view(shape))
