"""How a model came, so that it can be given back in the same form; and what lets any model stand in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from obliviate._util.modes import Doubling, mark_frozen, see_twice, unmark_frozen, untracked_norms
from obliviate.models.answers import number_format, suited
from obliviate.task import Task

HALVES: Final = frozenset({torch.float16, torch.bfloat16})
"""Types that are too coarse to learn in: a step is smaller than the distance of two numbers."""


@dataclass(frozen=True, eq=False)
class Form:
    """Where and how the tensors of a model are held, which of them train, and which modules are in training mode.

    >>> model = nn.Linear(2, 2).double().eval()
    >>> form = Form.of(model)
    >>> form.restored(model.float().train()).weight.dtype, model.training
    (torch.float64, False)
    """

    tensors: Mapping[str, tuple[torch.device, torch.dtype, bool]]
    trained: Mapping[str, bool]
    modes: Mapping[str, bool]

    @classmethod
    def of(cls, model: nn.Module) -> Form:
        """Look at a model, which is left as it is."""
        return cls(
            {name: (held.device, held.dtype, _plain(held)) for name, held in _tensors(model).items()},
            {name: weight.requires_grad for name, weight in model.named_parameters(remove_duplicate=False)},
            {name: module.training for name, module in model.named_modules()},
        )

    def on(self, device: torch.device) -> Form:
        """The same form on one device."""
        tensors = {name: (device, dtype, plain) for name, (_, dtype, plain) in self.tensors.items()}
        return replace(self, tensors=tensors)

    def restored(self, model: nn.Module, *, flags: bool = True) -> nn.Module:
        """Give a model this form, as far as its parts have the same names; `flags` includes what trains.

        Numbers are rounded to the type that they are given. The model itself is changed and returned.
        """
        for name, held in _tensors(model).items():
            if name in self.tensors:
                device, dtype, plain = self.tensors[name]
                value = held.data.to(device, dtype if held.is_floating_point() else None)
                held.data = value.contiguous() if plain else value
        if flags:
            for name, weight in model.named_parameters(remove_duplicate=False):
                weight.requires_grad_(self.trained.get(name, weight.requires_grad))
        for name, module in model.named_modules():
            module.training = self.modes.get(name, module.training)
        return model


@dataclass(frozen=True, eq=False)
class Casting:
    """A hook that gives a model its floating-point inputs in its own number format."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not inputs or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
            return None
        return None if inputs[0].dtype == number_format(module) else (suited(inputs[0], module), *inputs[1:])


@dataclass(frozen=True, eq=False)
class Reading:
    """A hook that lets a model answer with the one tensor that a task reads."""

    task: Task

    def __call__(self, module: nn.Module, _inputs: tuple[Any, ...], output: object) -> Tensor | None:
        read = self.task.read(output, of=type(module).__name__)
        return None if read is output else read


def prepared(model: nn.Module, task: Task) -> nn.Module:
    """Let a model, which is changed, be called by methods: with any inputs of the task, for the tensor that it reads.

    Halves become float32. What somebody has frozen by evaluation mode stays frozen, and norms without running
    statistics take single samples. `released` takes all of it back but for the number format.

    >>> from obliviate.task import Classification
    >>> model = prepared(nn.Linear(2, 1).half(), Classification(classes=2))
    >>> model(torch.zeros(1, 2)).shape, released(model)(torch.zeros(1, 2)).shape
    (torch.Size([1, 2]), torch.Size([1, 1]))
    """
    for held in _tensors(released(model)).values():
        if held.dtype in HALVES:
            held.data = held.data.float()
    mark_frozen(model)
    for norm in untracked_norms(model):
        see_twice(norm)
    model.register_forward_pre_hook(Casting())
    model.register_forward_hook(Reading(task))
    return model


def released(model: nn.Module) -> nn.Module:
    """Take off what `prepared` has put on a model, which is changed and returned."""
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if _is_ours(hook)]:
                del hooks[key]
    unmark_frozen(model)
    return model


def unread(model: nn.Module) -> nn.Module:
    """Let a model that was `prepared`, which is changed and returned, answer in its own form again, and nothing else.

    >>> from obliviate.task import Classification
    >>> unread(prepared(nn.Linear(2, 1), Classification(classes=2)))(torch.zeros(1, 2)).shape
    torch.Size([1, 1])
    """
    for key in [key for key, hook in model._forward_hooks.items() if isinstance(hook, Reading)]:
        del model._forward_hooks[key]
    return model


def _is_ours(hook: object) -> bool:
    return isinstance(hook, Casting | Reading) or isinstance(getattr(hook, "__self__", None), Doubling)


def _tensors(model: nn.Module) -> dict[str, Shaped[Tensor, ...]]:
    """The parameters and buffers that have values, by their names, those that are not saved included."""
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {name: held for name, held in named if not is_lazy(held)}


def _plain(held: Tensor) -> bool:
    """Whether numbers lie in the order of the axes."""
    return held.layout == torch.strided and held.is_contiguous()
