"""The optimisers by which trainings and methods take their steps, made in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from obliviate.errors import MethodError

OPTIMIZERS: Final = ("sgd", "adam", "adamw")
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
