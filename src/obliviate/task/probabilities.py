"""Signs that a model answers with probabilities where logits are read."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from obliviate.models.answers import tensor_of
from obliviate.types import Batch

SQUASHING: Final = ("Sigmoid", "Softmax")  # operations, by the names of their gradients
RESHAPING: Final = ("View", "Reshape", "Squeeze", "Unsqueeze", "Clone", "ToCopy", "Select", "Slice", "Transpose")

SOFTMAX: Final = (
    "rows that are probabilities (they lie in [0, 1] and sum to 1)",
    "remove the softmax at the end, or return its logarithm",
)
SIGMOID: Final = ("probabilities (a sigmoid or softmax is the last operation)", "remove it")


def are_distributions(output: Shaped[Tensor, "... classes"]) -> bool:
    """Whether all rows, along the last dimension, lie in [0, 1] and sum to 1, up to the rounding of their type.

    >>> are_distributions(torch.tensor([[1.0, 2.0]]).softmax(1)), are_distributions(torch.tensor([[1.0, 2.0]]))
    (True, False)
    """
    tolerance = 1e-2 if output.dtype in {torch.float16, torch.bfloat16} else 1e-4
    return within_unit(output) and bool(((output.float().sum(-1) - 1).abs() <= tolerance).all())


def within_unit(output: Tensor) -> bool:
    """Whether all numbers lie in [0, 1]."""
    return bool(((output >= 0) & (output <= 1)).all())


def ends_in_probabilities(model: nn.Module, batch: Batch) -> bool:
    """Whether the last operation of a model is a sigmoid or a softmax, as its graph of gradients tells.

    Where there is no such graph, of compiled models for example, it is not known, and False.

    >>> import numpy as np
    >>> batch = Batch(torch.zeros(1, 2), torch.zeros(1, 2), np.array(["a"]))
    >>> [ends_in_probabilities(nn.Sequential(nn.Linear(2, 2), *end), batch) for end in ([nn.Sigmoid()], [])]
    [True, False]
    """
    x = batch.x[:2].detach().clone()
    with torch.enable_grad():
        node = tensor_of(model(x.requires_grad_() if x.is_floating_point() else x)).grad_fn
    while node is not None and node.name().startswith(RESHAPING):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith(SQUASHING)
