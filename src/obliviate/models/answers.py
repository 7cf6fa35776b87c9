"""What a model answers with, read as one tensor: bare, in a tuple, a mapping or an output object, or one logit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from obliviate._util.modes import normalising_alone, untracked_norms
from obliviate.errors import RecipeError

KEYS: Final = ("logits", "out", "output", "predictions")
"""Under which of its names a mapping holds what is predicted, the first that is there; else it holds one tensor."""


def tensor_of(output: object, *, of: str = "the model") -> Tensor:
    """Read one tensor from what a model answered.

    It is the tensor itself; `.logits` of an output object, as those of `transformers` and of torchvision's Inception;
    the entry of a mapping under one of `KEYS`, or its only tensor; the first entry of a tuple or list, so that
    auxiliary heads, which come behind it in training mode, are left out. `of` names the model in the message.

    Raises RecipeError for anything else.

    >>> tensor_of((torch.ones(2), torch.zeros(3))), tensor_of({"logits": torch.ones(1), "hidden": torch.zeros(2)})
    (tensor([1., 1.]), tensor([1.]))
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(logits := getattr(output, "logits", None), Tensor):
        return logits
    got = type(output).__name__
    if isinstance(output, Mapping):
        tensors = {name: value for name, value in output.items() if isinstance(value, Tensor)}
        key = next((name for name in KEYS if name in tensors), None)
        if key is not None or len(tensors) == 1:
            return tensors[key] if key is not None else next(iter(tensors.values()))
        got = f"{got} of {', '.join(map(repr, tensors)) or 'no tensor'}"
    elif isinstance(output, tuple | list) and output:
        if isinstance(output[0], Tensor | tuple | list | Mapping):
            return tensor_of(output[0], of=of)
        got = f"{got} that begins with {type(output[0]).__name__}"
    raise RecipeError(
        f"expected a tensor, or a tuple, mapping or object with the logits, got {got} from {of}; wrap the model in a "
        "module whose `forward` returns the logits alone"
    )


def binary_logits(output: Float[Tensor, "n ..."]) -> Float[Tensor, "n 2"]:
    """Write one logit z a sample as the logits [0, z] of two classes: the same probabilities and the same loss.

    >>> binary_logits(torch.tensor([[2.0]]))
    tensor([[0., 2.]])
    """
    logit = output.flatten()
    return torch.stack([torch.zeros_like(logit), logit], dim=1)


def number_format(model: nn.Module) -> torch.dtype | None:
    """The type of a model's floating-point weights, of the first if they differ; None for a model without any.

    >>> number_format(nn.Linear(1, 1).double())
    torch.float64
    """
    return next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), None)


def suited(x: Shaped[Tensor, "n ..."], model: nn.Module) -> Shaped[Tensor, "n ..."]:
    """Inputs on the device and in the number format of a model; tokens stay integers."""
    weight = next(model.parameters(), None)
    if weight is None:
        return x
    return x.to(weight.device, number_format(model)) if x.is_floating_point() else x.to(weight.device)


def ask(model: nn.Module, x: Shaped[Tensor, "n ..."]) -> Tensor:
    """Ask a model as it stands, in its number format and on its device, for one tensor (`tensor_of`).

    A single sample is normalised by what a norm without running statistics makes of it and a copy of it.

    >>> ask(nn.Linear(2, 1).double(), torch.zeros(3, 2)).shape
    torch.Size([3, 1])
    """
    x = suited(x, model)
    if len(x) == 1 and untracked_norms(model):
        with normalising_alone(model):
            return tensor_of(model(x), of=type(model).__name__)
    return tensor_of(model(x), of=type(model).__name__)
