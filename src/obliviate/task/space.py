"""The continuous inputs that a method may perturb: pixels, numeric columns, or the embeddings of tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from obliviate.data.samples import Samples
from obliviate.errors import DataError

Limits: TypeAlias = float | Float[Tensor, " d"]
"""One limit for all values of a sample, one for each channel, or one for each value."""


@dataclass(frozen=True)
class InputSpace:
    """Continuous inputs, flattened to d values a sample: the valid range of each, and which may be perturbed.

    `free` None is all of them, and a mask that is shorter than a sample frees nothing beyond it; values that are not
    free are left alone and may be anything. `lift` turns a batch of the task's inputs into points of the space; None
    where they are that already. The model takes both. Where every `token` values are a token, `free` has one entry for
    each of these, and a token whose values are all zero is padding, and not free.

    >>> InputSpace(0.0, 1.0).clamp(torch.tensor([[1.5, 0.5]]))
    tensor([[1.0000, 0.5000]])
    """

    low: Limits
    high: Limits
    free: Bool[Tensor, " d"] | None = None
    lift: Callable[[Tensor], Tensor] | None = None
    token: int | None = None

    @property
    def width(self) -> float:
        """The mean width of the ranges of the free values."""
        width = torch.as_tensor(self.high) - torch.as_tensor(self.low)
        return float((width if self.free is None or not width.ndim else width[self.free.to(width.device)]).mean())

    def to(self, device: torch.device) -> InputSpace:
        """Move limits to a device."""
        moved = (limit.to(device) if isinstance(limit, Tensor) else limit for limit in (self.low, self.high, self.free))
        low, high, free = moved
        return InputSpace(low, high, free, self.lift, self.token)  # pyright: ignore[reportArgumentType]

    def lifted(self, samples: Samples) -> Samples:
        """The samples as points of the space, made as they are read."""
        return samples.transformed(self.lift)

    def points(self, x: Shaped[Tensor, " n ..."]) -> Float[Tensor, " n ..."]:
        """Inputs of the task as points of the space."""
        return x if self.lift is None else self.lift(x)

    def anchored(self, samples: Samples) -> Samples:
        """The samples as `live` takes them beside those of `anchored_at`: tokens with an offset of zero."""
        token = self.token or 0
        return samples.transformed(None if self.lift is None else lambda x: F.pad(x[..., None].float(), (0, token)))

    def anchored_at(self, points: Samples, samples: Samples) -> Samples:
        """Points of the space as offsets from the samples that they were made of, which are in the same order.

        Of texts the inputs are "n length 1+d": a token's number, exact below 2²⁴, and what must be added to the
        embedding that `lift` gives it. Targets and ids are those of the points. Raises DataError for points of another
        shape than the samples'.
        """
        if self.lift is None:
            return points
        batch, tokens = points.everything(), samples.everything().x
        lifted = self.lift(tokens).to(batch.x.device)
        if batch.x.shape != lifted.shape:
            raise DataError(
                f"expected points of the shape {tuple(lifted.shape)}, got {tuple(batch.x.shape)}; "
                "use points that were made of these samples, with a model whose embeddings are as wide"
            )
        anchors = tokens[..., None].to(batch.x)
        return Samples.from_tensors(torch.cat([anchors, batch.x - lifted], 2), batch.y, ids=batch.ids)

    def live(self, model: Any, x: Shaped[Tensor, " n ..."]) -> Float[Tensor, " n ..."]:
        """Inputs as points of the space that a model has now, with gradients: a training moves the embeddings too.

        Of texts, `x` are tokens or what `anchored` and `anchored_at` give; of all else, points already.

        >>> from obliviate.models import ARCHITECTURES
        >>> from obliviate.task import Classification
        >>> model = ARCHITECTURES["text_transformer"](vocabulary=9, length=2, width=4)
        >>> space = Classification(classes=2, tokens=True).space(model)
        >>> space.live(model, torch.tensor([[3, 0]])).shape
        torch.Size([1, 2, 4])
        """
        if self.lift is None:
            return x
        if not x.is_floating_point():
            return model.embed(x).float()
        return model.embed(x[..., 0].long()).float() + x[..., 1:]

    def movable(self, x: Float[Tensor, "n d"]) -> Bool[Tensor, "n d"] | None:
        """Which values of these points are free, None where all are; of texts, those of tokens that are not padding.

        >>> InputSpace(-1.0, 1.0, token=2).movable(torch.tensor([[0.5, 0.0, 0.0, 0.0]]))
        tensor([[ True,  True, False, False]])
        """
        if self.token is not None:
            present = x.unflatten(1, (-1, self.token)).any(2, keepdim=True).expand(-1, -1, self.token)
            return (present if self.free is None else present & self.free).flatten(1)
        return None if self.free is None else F.pad(self.free, (0, x.shape[1] - len(self.free))).expand_as(x)

    def clamp(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Bring free values into their ranges."""
        low, high = self._ends(x)
        return self._held(x, x.clamp(low, high), x)  # pyright: ignore[reportArgumentType,reportCallIssue]

    def room(self, x: Float[Tensor, "n d"], direction: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """How far each value may go in a direction, of which only the sign counts; what is not free, nowhere."""
        low, high = self._ends(x)
        return self._held(x, torch.where(direction > 0, high - x, x - low), 0.0)

    def held(self, x: Float[Tensor, "n d"], gradient: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The gradient at x with respect to its free values alone."""
        return self._held(x, gradient, 0.0)

    def mixed(
        self, first: Float[Tensor, " n ..."], second: Float[Tensor, " n ..."], share: Float[Tensor, " n ..."] | float
    ) -> Float[Tensor, " n ..."]:
        """Mix points value by value, with a share of the first one; what is not free in both is taken whole.

        It is then that of the point with the greater mean share, so that the columns of one category stay together,
        and a text ends where one of the two does. The gradient with respect to the share is there as if it were mixed
        (straight-through, Bengio et al. 2013, arXiv 1308.3432); that with respect to the points is of what was taken.

        >>> space = InputSpace(0.0, 1.0, free=torch.tensor([True, False, False]))
        >>> space.mixed(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]]), 0.25)
        tensor([[0.2500, 0.0000, 1.0000]])
        """
        blend = share * first + (1 - share) * second
        movable_first, movable_second = self.movable(first.flatten(1)), self.movable(second.flatten(1))
        if movable_first is None or movable_second is None:
            return blend
        mean = share.flatten(1).mean(1) if isinstance(share, Tensor) else torch.full((len(first),), share).to(first)
        whole = torch.where((mean >= 0.5).view(-1, *[1] * (first.ndim - 1)), first, second)
        through = share * first.detach() + (1 - share) * second.detach()
        return torch.where((movable_first & movable_second).view_as(first), blend, whole + (through - through.detach()))

    def scaled(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The points with the range of each free value brought to [−1, 1].

        >>> InputSpace(0.0, 4.0).scaled(torch.tensor([[0.0, 3.0]]))
        tensor([[-1.0000,  0.5000]])
        """
        low, high = self._ends(x)
        width = torch.as_tensor(high - low, device=x.device)
        return self._held(x, torch.where(width > 0, 2 * (x - low) / width - 1, 0.0), x)

    def check(self, x: Float[Tensor, " n ..."]) -> None:
        """Refuse points outside the range of a free value, or of another width than the limits; raises DataError."""
        flat = x.flatten(1)
        channels = x.shape[1] if x.ndim > 2 else flat.shape[1]
        widths = {len(end) for end in (self.low, self.high) if isinstance(end, Tensor)} - {channels}
        if self.free is not None and len(self.free) > flat.shape[1]:
            widths.add(len(self.free))
        if wrong := widths - {flat.shape[1]}:
            raise DataError(
                f"expected samples of {wrong.pop()} values, for which the task has limits, got {flat.shape[1]}; "
                "correct the task's `input_range` or `perturbable`"
            )
        low_ends, high_ends = self._ends(flat)
        outside = (flat < low_ends) | (flat > high_ends)
        outside = self._held(flat, outside, False)
        if bool(outside.any()):
            value = int(outside.nonzero()[0, 1])
            own = isinstance(self.low, Tensor) or isinstance(self.high, Tensor)
            low, high = (float(end[value] if isinstance(end, Tensor) else end) for end in (low_ends, high_ends))
            place = f"channel {value * x.shape[1] // flat.shape[1]}" if x.ndim > 2 else f"column {value}"
            values, where = (flat[:, value], f" in {place}") if own else (flat, "")
            remedy = "move the normalisation into the model" if x.ndim > 2 else "name numeric columns in `perturbable`"
            raise DataError(
                f"expected inputs in [{low:.4g}, {high:.4g}]{where}, got [{float(values.min()):.4g}, "
                f"{float(values.max()):.4g}]; set the task's `input_range`, or {remedy}"
            )

    def _ends(self, x: Float[Tensor, "n d"]) -> tuple[float | Tensor, float | Tensor]:
        """The limits of each value of flattened points: those of a channel hold for all of its values.

        >>> low, high = InputSpace(torch.zeros(2), torch.tensor([1.0, 2.0]))._ends(torch.zeros(1, 4))
        >>> high
        tensor([1., 1., 2., 2.])
        """
        width = x.shape[1]

        def spread(end: float | Tensor) -> float | Tensor:
            if not isinstance(end, Tensor) or len(end) == width or width % len(end):
                return end
            return end.repeat_interleave(width // len(end))

        return spread(self.low), spread(self.high)

    def _held(self, x: Tensor, free: Tensor, other: Tensor | float) -> Tensor:
        """One value where x is free, another where it is not."""
        movable = self.movable(x)
        return free if movable is None else torch.where(movable, free, other)
