"""The optimisers by which trainings and methods take their steps, made in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from obliviate.errors import MethodError, RecipeError

OPTIMIZERS: Final = ("sgd", "adam", "adamw")
CLASSES: Final[Mapping[str, type[Optimizer]]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
CLOSURES: Final = {"LBFGS", "SparseAdam"}
"""Those of `torch.optim` that take steps of another kind: with a closure, or by sparse gradients."""
BETAS: Final = (0.9, 0.999)
"""β₁ and β₂ of Adam and AdamW, as torch has them."""


@runtime_checkable
class Steps(Protocol):
    """How steps are taken: `momentum` is that of SGD, or β₁ of Adam and AdamW."""

    @property
    def optimizer(self) -> str | None: ...

    @property
    def learning_rate(self) -> float | str | None: ...

    @property
    def momentum(self) -> float | None: ...

    @property
    def weight_decay(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Steps of SGD at a rate.

    >>> SGD(learning_rate=0.1).momentum
    0.9
    """

    learning_rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Steps of Adam at a rate, with torch's own betas and no weight decay: for what a method trains beside the model.

    >>> Adam(learning_rate=1e-3).optimizer
    'adam'
    """

    learning_rate: float
    optimizer: str = "adam"
    momentum: float = BETAS[0]
    weight_decay: float = 0.0


def make(model: nn.Module, steps: Steps, *, learning_rate: float | str | None = None) -> Optimizer:
    """Make the optimiser of all parameters of a model; `learning_rate` replaces that of `steps`.

    Raises MethodError for settings that are no numbers yet, and for an unknown optimiser.
    """
    rate = steps.learning_rate if learning_rate is None else learning_rate
    momentum, decay = steps.momentum, steps.weight_decay
    if steps.optimizer not in OPTIMIZERS or not isinstance(rate, int | float) or momentum is None or decay is None:
        raise MethodError(
            f"expected an optimizer of {', '.join(OPTIMIZERS)} and its settings in numbers, got {steps.optimizer}, "
            f"learning_rate={rate!r}, momentum={momentum}, weight_decay={decay}; settle the method first, as "
            "`unlearn` does (`methods.base.settle`)"
        )
    if steps.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)
    kind = torch.optim.Adam if steps.optimizer == "adam" else torch.optim.AdamW
    return kind(model.parameters(), lr=rate, betas=(momentum, BETAS[1]), weight_decay=decay)


def plain_name(name: str) -> str:
    """The name by which settings know an optimiser: "SGD", "Adam" and "AdamW" of torch are "sgd", "adam" and "adamw".

    >>> plain_name("AdamW"), plain_name("RMSprop")
    ('adamw', 'RMSprop')
    """
    return name.lower() if name in {"SGD", "Adam", "AdamW"} else name


def class_of(name: str) -> type[Optimizer]:
    """Find an optimiser: sgd, adam, adamw, or the name of one of `torch.optim`; raises RecipeError for another name.

    >>> class_of("RMSprop").__name__
    'RMSprop'
    """
    if name in CLASSES:
        return CLASSES[name]
    cls = getattr(torch.optim, name, None) if isinstance(name, str) else None
    if not (isinstance(cls, type) and issubclass(cls, Optimizer)) or cls is Optimizer or name in CLOSURES:
        others = [
            key
            for key, value in vars(torch.optim).items()
            if isinstance(value, type) and issubclass(value, Optimizer) and key not in {"Optimizer", *CLOSURES}
        ]
        raise RecipeError(
            f"expected an optimizer of {', '.join(OPTIMIZERS)}, or of torch.optim ({', '.join(sorted(others))}), got "
            f"{name!r}; name one of them"
        )
    return cls


def make_named(
    name: str, parameters: Iterable[nn.Parameter], settings: Mapping[str, Any], options: Mapping[str, Any]
) -> Optimizer:
    """Make an optimiser by its name: `settings` as far as it takes them, and `options`, which go before.

    Raises RecipeError for options that it does not take, and for values out of its range.

    >>> weights = [nn.Parameter(torch.zeros(2))]
    >>> make_named("RMSprop", weights, {"lr": 0.01, "weight_decay": 0.0}, {"alpha": 0.9}).defaults["alpha"]
    0.9
    """
    cls = class_of(name)
    taken = set(inspect.signature(cls).parameters) - {"params"}
    if unknown := sorted(set(options) - taken):
        raise RecipeError(
            f"expected optimizer_options that {cls.__name__} takes ({', '.join(sorted(taken))}), got "
            f"{', '.join(unknown)}; correct them"
        )
    if doubled := sorted(set(options) & {"lr", "weight_decay"}):
        fields = {"lr": "learning_rate", "weight_decay": "weight_decay"}
        raise RecipeError(
            f"expected optimizer_options without {doubled[0]}, got it; say it as {fields[doubled[0]]} of the recipe"
        )
    make = cast("Callable[..., Optimizer]", cls)
    written = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    try:
        return make(parameters, **{key: value for key, value in settings.items() if key in taken} | written)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"expected optimizer_options in the range of {cls.__name__}, got {dict(options)} ({error}); correct them"
        ) from error
