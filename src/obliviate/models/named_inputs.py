"""A model that takes its inputs by name, as a model of one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn

from obliviate.types import Layout


class NamedInputs(nn.Module):
    """A model that is called by the names of its inputs, such as one of `transformers`, as a model of one tensor.

    `inputs` are the names in the order in which `Samples.from_dataset(inputs=...)` was told them, where all are of one
    shape and type; a `Layout` where they are not (`Layout.of(row, names)`, of any row). The output is what the model
    returns, or its `logits` where it has such. `model` is the model as it was given.

    >>> import torch
    >>> class Masked(nn.Module):
    ...     def forward(self, values, mask):
    ...         return (values * mask).sum(1, keepdim=True)
    >>> NamedInputs(Masked(), ["values", "mask"])(torch.tensor([[[1.0, 2.0], [1.0, 0.0]]]))
    tensor([[1.]])
    """

    def __init__(self, model: nn.Module, inputs: str | Sequence[str] | Layout) -> None:
        super().__init__()
        self.model = model
        names = (inputs,) if isinstance(inputs, str) else inputs
        self.layout = names if isinstance(names, Layout) else Layout(tuple(names))

    def forward(self, x: Shaped[Tensor, " n ..."]) -> Any:
        output = self.model(**self.layout.unpack(x))
        return getattr(output, "logits", output)
