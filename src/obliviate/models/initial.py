"""The initial weights of deep convolutional networks."""

from __future__ import annotations

from torch import nn


def kaiming(model: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / fan-out), He et al. 2015; batch norm begins as the identity.

    The last linear layer keeps torch's default. The draws are those of torch's global generator.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
