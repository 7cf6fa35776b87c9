"""A multi-layer perceptron for rows of numbers, or for small images taken as rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU between them; inputs of any shape are flattened.

    >>> import torch
    >>> MLP(features=4, classes=3)(torch.zeros(2, 2, 2)).shape
    torch.Size([2, 3])
    """

    def __init__(self, *, features: int = 784, classes: int = 10, hidden: Sequence[int] = (256, 128)) -> None:
        super().__init__()
        widths = (features, *hidden)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x: Float[Tensor, " n ..."]) -> Float[Tensor, "n classes"]:
        return self.layers(x)
