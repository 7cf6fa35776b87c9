"""Learning-rate schedules as factors of the progress through training, in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def constant(_progress: float) -> float:
    """Never change the learning rate."""
    return 1.0


def linear(progress: float) -> float:
    """Fall from 1 to 0 in a straight line.

    >>> linear(0.25)
    0.75
    """
    return 1.0 - progress


def linear_to_tenth(progress: float) -> float:
    """Fall from 1 to 0.1 in a straight line.

    >>> linear_to_tenth(0.5), round(linear_to_tenth(1.0), 6)
    (0.55, 0.1)
    """
    return 1.0 - 0.9 * progress


def cosine(progress: float) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov & Hutter 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def one_cycle(progress: float) -> float:
    """Rise from 1/25 to 1 in the first 30 %, then fall to nearly 0, both along half cosines (Smith & Topin 2018).

    >>> round(one_cycle(0.3), 6), round(one_cycle(0.0), 6)
    (1.0, 0.04)
    """
    if progress < 0.3:
        return 1.0 - (1.0 - 1 / 25) * cosine(progress / 0.3)
    return cosine((progress - 0.3) / 0.7)


def step(progress: float) -> float:
    """Divide by ten at 20, 40, 60 and 80 % (AMUN's training schedule: every 40 of 200 epochs)."""
    return 0.1 ** int(progress * 5)


def step_tenths(progress: float) -> float:
    """Divide by ten at every tenth (AMUN's unlearning schedule: after each of 10 epochs).

    >>> step_tenths(0.05), round(step_tenths(0.1), 6)
    (1.0, 0.1)
    """
    return 0.1 ** int(progress * 10)


SCHEDULES: Final[dict[str, Callable[[float], float]]] = {
    "constant": constant,
    "linear": linear,
    "linear_to_tenth": linear_to_tenth,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "step": step,
    "step_tenths": step_tenths,
}


def at_milestones(shares: Sequence[float], gamma: float) -> Callable[[float], float]:
    """Multiply by `gamma` at each of these shares of a training.

    >>> factor = at_milestones([0.5, 0.75], 0.1)
    >>> factor(0.49), factor(0.5), round(factor(0.9), 6)
    (1.0, 0.1, 0.01)
    """
    return lambda progress: gamma ** sum(progress >= share for share in shares)


def make(schedule: str | Callable[[float], float], optimizer: Optimizer, *, steps: int) -> LambdaLR:
    """Attach a schedule, named or a function of the progress, to an optimiser for a number of optimiser steps."""
    factor = SCHEDULES[schedule] if isinstance(schedule, str) else schedule
    return LambdaLR(optimizer, lambda done: factor(min(done / max(steps, 1), 1.0)))
