"""Training and evaluation mode of a model and all its parts, and which of these are trained at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.utils.hooks import RemovableHandle

FROZEN: Final = "_obliviate_frozen"
"""The attribute of modules that somebody has put into evaluation mode, apart from the model that they are part of."""


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
        with differentiable(model):
            yield model
    finally:
        for module, training in modes:
            module.training = training


def freeze_untrained(model: nn.Module) -> None:
    """Put modules into evaluation mode that are frozen, so that their statistics and dropout are too.

    These are the modules whose weights all are, and those that `mark_frozen` has met in evaluation mode.

    >>> model = nn.Sequential(nn.BatchNorm1d(2).requires_grad_(False), nn.Linear(2, 2)).train()
    >>> freeze_untrained(model)
    >>> [one.training for one in model]
    [False, True]
    """
    for module in model.modules():
        weights = list(module.parameters())
        if FROZEN in module.__dict__ or (weights and not any(weight.requires_grad for weight in weights)):
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
    """Let batch norms that see one value a channel, which has no variance, normalise all the same.

    Those with running statistics take the statistics so far; the others (`untracked_norms`) see the sample twice.

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
    untracked = untracked_norms(model)
    hooks += [handle for norm in untracked for handle in see_twice(norm)]
    try:
        yield
    finally:
        for norm, training in zip(norms, modes, strict=True):
            norm.training = training
        for handle in hooks:
            handle.remove()


def untracked_norms(model: nn.Module) -> list[nn.Module]:
    """The batch norms without running statistics, which take those of the batch in evaluation mode too.

    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(3, track_running_stats=False))
    >>> untracked_norms(model) == [model[1]]
    True
    """
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is None]


@dataclass(eq=False)
class Doubling:
    """Hooks that show a norm a single value a channel twice: the variance is then 0, the outcome the norm's bias."""

    doubled: bool = False

    def before(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Double a single value a channel on its way into the norm."""
        x = inputs[0]
        self.doubled = x.numel() == x.shape[1]
        return (torch.cat([x, x]), *inputs[1:]) if self.doubled else None

    def after(self, _module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Take the copy off what comes out."""
        return output[:1] if self.doubled else None


def see_twice(norm: nn.Module) -> list[RemovableHandle]:
    """Let a norm see a single value a channel twice, until the handles are removed."""
    doubling = Doubling()
    return [norm.register_forward_pre_hook(doubling.before), norm.register_forward_hook(doubling.after)]


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Let gradients be taken of recurrent layers in evaluation mode, which cuDNN has none of: torch computes them.

    >>> with differentiable(nn.LSTM(1, 1).eval()):
    ...     torch.backends.cudnn.enabled
    False
    """
    if not any(isinstance(module, nn.RNNBase) and not module.training for module in model.modules()):
        yield
        return
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


def mark_frozen(model: nn.Module) -> None:
    """Remember the parts of a model in training mode that are in evaluation mode: somebody has frozen them.

    A model that is in evaluation mode as a whole tells nothing. Copies of the model remember it too.

    >>> model = nn.Sequential(nn.BatchNorm1d(2).eval(), nn.Linear(2, 2))
    >>> mark_frozen(model)
    >>> freeze_untrained(model.train())
    >>> [part.training for part in model]
    [False, True]
    """
    if model.training:
        for module in model.modules():
            if not module.training:
                setattr(module, FROZEN, True)


def unmark_frozen(model: nn.Module) -> None:
    """Forget what `mark_frozen` has remembered."""
    for module in model.modules():
        if FROZEN in module.__dict__:
            delattr(module, FROZEN)
