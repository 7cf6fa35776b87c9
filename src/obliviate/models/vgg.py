"""VGG networks with batch norm for small images (Simonyan and Zisserman 2015, table 1)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from obliviate.models.initial import kaiming


class VGG(nn.Module):
    """Stages of 3×3 convolutions with batch norm and ReLU, each ended by 2×2 max-pooling, and one linear layer.

    `convolutions` has one entry a stage; widths double from `width` to at most 8 × `width`. Pooling rounds up and the
    rest is averaged, so that any image size fits. The two hidden linear layers of the paper, made for 224×224 images,
    are left out, as is usual on CIFAR. Weights begin as in `models.initial`.

    >>> import torch
    >>> VGG(convolutions=(1, 1), width=4, classes=3)(torch.zeros(2, 3, 9, 9)).shape
    torch.Size([2, 3])
    """

    def __init__(self, *, convolutions: Sequence[int], classes: int = 10, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for stage, count in enumerate(convolutions):
            after = width * min(2**stage, 8)
            for _ in range(count):
                convolution = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)  # batch norm has the bias
                layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.linear = nn.Linear(before, classes)
        kaiming(self)

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        return self.linear(self.features(x))


def vgg11(*, classes: int = 10, channels: int = 3, width: int = 64) -> VGG:
    """Make a VGG-11 (configuration A): 9.23 million parameters."""
    return VGG(convolutions=(1, 1, 2, 2, 2), classes=classes, channels=channels, width=width)


def vgg16(*, classes: int = 10, channels: int = 3, width: int = 64) -> VGG:
    """Make a VGG-16 (configuration D): 14.7 million parameters."""
    return VGG(convolutions=(2, 2, 3, 3, 3), classes=classes, channels=channels, width=width)


def vgg19(*, classes: int = 10, channels: int = 3, width: int = 64) -> VGG:
    """Make a VGG-19 (configuration E): 20.0 million parameters."""
    return VGG(convolutions=(2, 2, 4, 4, 4), classes=classes, channels=channels, width=width)
