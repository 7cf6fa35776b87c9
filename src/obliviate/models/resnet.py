"""Residual networks with a stem for small images (He et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from obliviate.models.initial import kaiming


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, added to their input (He et al. 2016, figure 2).

    Where the shape changes, the input goes through a strided 1×1 convolution with batch norm (option B).
    """

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride != 1 or before != after:
            projection = nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(after))

    def forward(self, x: Float[Tensor, "n before height width"]) -> Float[Tensor, "n after rows columns"]:
        out = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stages of basic blocks after a 3×3 stem without pooling; each stage after the first halves the image.

    `widths` and `blocks` have one entry a stage. Global average pooling makes any image size fit. Weights begin as in
    `models.initial`.

    >>> import torch
    >>> ResNet(widths=(4, 8), blocks=(1, 1), classes=3)(torch.zeros(2, 3, 9, 9)).shape
    torch.Size([2, 3])
    """

    def __init__(self, *, widths: Sequence[int], blocks: Sequence[int], classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        stages: list[nn.Module] = []
        for stage, ((before, after), count) in enumerate(zip(pairwise((widths[0], *widths)), blocks, strict=True)):
            first = BasicBlock(before, after, stride=1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, *(BasicBlock(after, after, stride=1) for _ in range(count - 1))))
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(widths[-1], classes)
        kaiming(self)

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        x = F.relu(self.norm(self.conv(x)))
        return self.linear(self.stages(x).mean((2, 3)))


def resnet18(*, classes: int = 10, channels: int = 3, width: int = 64) -> ResNet:
    """Make the ResNet-18 that is usual on CIFAR: 11.17 million parameters, `width` channels in the first stage."""
    return ResNet(
        widths=(width, 2 * width, 4 * width, 8 * width), blocks=(2, 2, 2, 2), classes=classes, channels=channels
    )


def resnet8(*, classes: int = 10, channels: int = 3, width: int = 16) -> ResNet:
    """Make the ResNet-8 of the CIFAR family: 78 thousand parameters."""
    return _cifar(8, classes, channels, width)


def resnet20(*, classes: int = 10, channels: int = 3, width: int = 16) -> ResNet:
    """Make the ResNet-20 of the CIFAR family: 0.27 million parameters."""
    return _cifar(20, classes, channels, width)


def resnet56(*, classes: int = 10, channels: int = 3, width: int = 16) -> ResNet:
    """Make the ResNet-56 of the CIFAR family: 0.86 million parameters."""
    return _cifar(56, classes, channels, width)


def _cifar(depth: int, classes: int, channels: int, width: int) -> ResNet:
    """The family of section 4.2: depth 6n+2, three stages of n blocks.

    The paper's shortcuts there are its option A (zeros fill the new channels), which has 2,752 parameters fewer.
    """
    return ResNet(
        widths=(width, 2 * width, 4 * width), blocks=((depth - 2) // 6,) * 3, classes=classes, channels=channels
    )
