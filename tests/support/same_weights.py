"""Whether two models have the same weights."""

import torch
from torch import nn


def assert_same_weights(model: nn.Module, expected: nn.Module, *, atol: float, rtol: float) -> None:
    """Every parameter of `model` is that of `expected`, up to rounding; the first that is not is named."""
    torch.testing.assert_close(dict(model.named_parameters()), dict(expected.named_parameters()), atol=atol, rtol=rtol)
