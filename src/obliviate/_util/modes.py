"""Training and evaluation mode of a model and all its parts, and which of these are trained at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model into evaluation mode, and afterwards every part of it back into its own.

    `model.train(before)` would do so for the whole only, and thaw batch norms that a user has frozen.

    >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     [one.training for one in model]
    [False, False]
    >>> [one.training for one in model]
    [True, False]
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training


def freeze_untrained(model: nn.Module) -> None:
    """Put modules into evaluation mode whose weights are all frozen, so that their statistics and dropout are too.

    >>> model = nn.Sequential(nn.BatchNorm1d(2).requires_grad_(False), nn.Linear(2, 2)).train()
    >>> freeze_untrained(model)
    >>> [one.training for one in model]
    [False, True]
    """
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


@contextmanager
def training_only(model: nn.Module, part: nn.Module) -> Iterator[None]:
    """Freeze the weights of a model but those of a part of it; afterwards those train again that did before.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> with training_only(model, model[1]):
    ...     [weight.requires_grad for weight in model.parameters()]
    [False, False, True, True]
    >>> all(weight.requires_grad for weight in model.parameters())
    True
    """
    before = [(weight, weight.requires_grad) for weight in model.parameters()]
    model.requires_grad_(False)
    part.requires_grad_(True)
    try:
        yield
    finally:
        for weight, trained in before:
            weight.requires_grad_(trained)


@contextmanager
def normalising_alone(model: nn.Module) -> Iterator[None]:
    """Let batch norms that see one value a channel take their statistics so far, for one value has no variance.

    >>> import torch
    >>> norm = nn.BatchNorm1d(2).train()
    >>> with normalising_alone(norm):
    ...     norm(torch.ones(1, 2)).shape, norm.training
    (torch.Size([1, 2]), False)
    >>> norm.training
    True
    """

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training and inputs[0].numel() == inputs[0].shape[1]:
            module.eval()

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    modes, hooks = [norm.training for norm in norms], [norm.register_forward_pre_hook(hook) for norm in norms]
    try:
        yield
    finally:
        for norm, training, handle in zip(norms, modes, hooks, strict=True):
            norm.training = training
            handle.remove()
