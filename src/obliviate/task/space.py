"""The continuous inputs that a method may perturb: pixels, numeric columns, or the embeddings of tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from obliviate.data.samples import Samples
from obliviate.errors import DataError

Limits: TypeAlias = float | Float[Tensor, " d"]
"""One limit for all values of a sample, or one for each."""


@dataclass(frozen=True)
class InputSpace:
    """Continuous inputs, flattened to d values a sample: the valid range of each, and which may be perturbed.

    `free` None is all of them; values that are not free are left alone and may be anything. `lift` turns a batch of the
    task's inputs into points of the space; None where they are that already. The model takes both.

    >>> InputSpace(0.0, 1.0).clamp(torch.tensor([[1.5, 0.5]]))
    tensor([[1.0000, 0.5000]])
    """

    low: Limits
    high: Limits
    free: Bool[Tensor, " d"] | None = None
    lift: Callable[[Tensor], Tensor] | None = None

    @property
    def width(self) -> float:
        """The mean width of the ranges of the free values."""
        width = torch.as_tensor(self.high) - torch.as_tensor(self.low)
        return float((width if self.free is None or not width.ndim else width[self.free.to(width.device)]).mean())

    def to(self, device: torch.device) -> InputSpace:
        """Move limits to a device."""
        moved = (one.to(device) if isinstance(one, Tensor) else one for one in (self.low, self.high, self.free))
        low, high, free = moved
        return InputSpace(low, high, free, self.lift)  # pyright: ignore[reportArgumentType]

    def lifted(self, samples: Samples) -> Samples:
        """The samples as points of the space, made as they are read."""
        return samples.transformed(self.lift)

    def clamp(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Bring free values into their ranges."""
        inside = x.clamp(self.low, self.high)  # pyright: ignore[reportArgumentType,reportCallIssue]
        return inside if self.free is None else torch.where(self.free, inside, x)

    def room(self, x: Float[Tensor, "n d"], direction: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """How far each value may go in a direction, of which only the sign counts; what is not free, nowhere."""
        room = torch.where(direction > 0, self.high - x, x - self.low)
        return room if self.free is None else torch.where(self.free, room, 0.0)

    def held(self, gradient: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """A gradient of the free values alone."""
        return gradient if self.free is None else torch.where(self.free, gradient, 0.0)

    def check(self, x: Float[Tensor, " n ..."]) -> None:
        """Refuse points outside the range of a free value; raises DataError."""
        flat = x.flatten(1)
        outside = (flat < self.low) | (flat > self.high)
        outside = outside if self.free is None else outside & self.free
        if bool(outside.any()):
            value = int(outside.nonzero()[0, 1])
            own = isinstance(self.low, Tensor) or isinstance(self.high, Tensor)
            low, high = (float(one[value] if isinstance(one, Tensor) else one) for one in (self.low, self.high))
            found, where = (flat[:, value], f" in column {value}") if own else (flat, "")
            raise DataError(
                f"expected inputs in [{low:.4g}, {high:.4g}]{where}, got [{float(found.min()):.4g}, "
                f"{float(found.max()):.4g}]; set the task's `input_range`, or move the normalisation into the model"
            )
