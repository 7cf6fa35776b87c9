"""The gradient of a loss over a set of samples, batch by batch, of a model that is looked at and not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor, nn

from obliviate._util.modes import evaluating
from obliviate.types import Batch

Gradient: TypeAlias = dict[str, Tensor]
"""By the names of trainable parameters; those on which the loss does not depend are left out."""


def gradients(
    model: nn.Module, batches: Iterable[Batch], loss: Callable[[nn.Module, Batch], Tensor]
) -> Iterator[tuple[Batch, Gradient]]:
    """Yield each batch, on the model's device, with the gradient of its loss: in evaluation mode and float32.

    >>> import numpy as np
    >>> def total(model: nn.Module, batch: Batch) -> Tensor:
    ...     return model(batch.x).sum()
    >>> batch = Batch(torch.tensor([[3.0]]), torch.zeros(1), np.array(["a"]))
    >>> for _, gradient in gradients(nn.Linear(1, 1, bias=False), [batch], total):
    ...     gradient["weight"]
    tensor([[3.]])
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    device = next(model.parameters()).device
    with evaluating(model):
        for batch in batches:
            placed = batch.to(device)
            parts = torch.autograd.grad(loss(model, placed), list(named.values()), allow_unused=True)
            reached = {name: part for name, part in zip(named, parts, strict=True) if part is not None}
            yield placed, reached
