"""How a step of a training is taken: what becomes of gradients, and which weights may move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Optimizer

from obliviate.training.division import alike

Mask = Mapping[str, Bool[Tensor, "..."]]
"""For each parameter, by name, which weights may change."""

GradientScale = Mapping[str, Float[Tensor, "..."]]
"""For some parameters, by name, what each weight's gradient is multiplied by."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Update:
    """How a step is taken: how its batches may be cut, and what becomes of gradients before the optimiser moves.

    `clip_norm` bounds the gradient's L2 norm, after `gradient_scale` has multiplied it. Where `mask` is false, weights
    stay bit-identical, whatever momentum and weight decay say. `accumulate` is how many batches in a row make one step,
    by the mean of their gradients, each in proportion to its samples: for a loss that is a mean over samples, a step on
    all of them, with the memory of one. `uneven` says that the loss is made of `Run.batch_means` and `Run.whole_batch`
    alone, so that batches of several sizes can be divided however they are cut.

    >>> Update(clip_norm=1.0).accumulate
    1
    """

    clip_norm: float | None = None
    mask: Mask | None = None
    gradient_scale: GradientScale | None = None
    accumulate: int = 1
    uneven: bool = False

    @property
    def changes_steps(self) -> bool:
        """Whether a step differs from the optimiser's own on the gradient as it is."""
        return not (self.clip_norm is None and self.mask is None and self.gradient_scale is None)

    def take(self, optimizer: Optimizer, weights: Mapping[str, nn.Parameter], *, sharded: bool = False) -> None:
        """Have the optimiser move the weights by their gradients.

        `weights` are those that train, by name; none are needed where this changes no step. `sharded` says that this
        process holds but a part of each.
        """
        mask, scale = self.mask, self.gradient_scale
        if sharded:
            mask, scale = (values and _in_parts(values, weights) for values in (mask, scale))
        for name, weight in weights.items():
            if scale is not None and name in scale and weight.grad is not None:
                weight.grad.mul_(scale[name])
        frozen: dict[str, Tensor] = {}
        if mask is not None:
            frozen = {name: weight.detach().clone() for name, weight in weights.items()}
            for name, weight in weights.items():
                if weight.grad is not None:
                    weight.grad.mul_(mask[name])
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(list(weights.values()), self.clip_norm)
        optimizer.step()
        if mask is not None:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(torch.where(mask[name], weight, frozen[name]))


def _in_parts(values: Mapping[str, Tensor], weights: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Values for whole weights, as this process holds the weights."""
    return {name: alike(value, weights[name]) for name, value in values.items() if name in weights}


PLAIN: Final = Update()
