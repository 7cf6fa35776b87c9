"""What a loss needs of a whole batch while a process computes a piece of it: means, and outputs sample by sample.

A piece's loss counts in proportion to its share of the samples (`training.division`), which is right for a mean over
samples and for nothing else. A loss that is more than that asks here for what all pieces say; it gets the numbers of
the whole batch, with the gradient of its own piece, so that the gradients of all pieces add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from obliviate._util.randomness import seed_generators
from obliviate._util.seeds import derive
from obliviate.errors import MethodError
from obliviate.training.division import Division

Parts = tuple[Any, ...]
T = TypeVar("T")


class WholeBatch:
    """A batch of which this process computes some pieces, one after the other.

    What is asked of the whole is gathered at once where each process has a single piece. Where it has several, all of
    them are computed without gradients as far as the question, once for each, before the first goes its way back.
    Random numbers that are drawn in a piece come from a seed of its own, and leave no trace in the generators, so that
    all processes go on alike, however much each has drawn.
    """

    def __init__(self, division: Division, parts: Parts, *, seed: int, device: torch.device) -> None:
        self.division, self.seed = division, seed
        self.pieces = division.of(parts)
        self.shares = division.shares(parts)  # None: nobody cuts the batch, and what a loss has is of the whole
        self._devices = [device] if device.type == "cuda" else []
        self._answers: list[list[list[Tensor]]] = []  # to each question, for each of its values, those of all pieces
        self._place = self._asked = 0

    def mean(self, own: Tensor) -> Tensor:
        """The mean over the whole batch of what is `own` on a piece, a scalar."""
        if self.shares is None:
            return own
        (means,) = self._of_all(own.reshape(1))
        whole = torch.stack([share * mean for share, mean in zip(self.shares, means, strict=True)]).sum()
        return _Whole.apply(own, whole.to(own.dtype), None, 1.0)

    def rows(self, *own: Tensor) -> tuple[Tensor, ...]:
        """The rows of the whole batch, in its order, of which `own` are a piece's."""
        if self.shares is None:
            return own
        number = self._number
        return tuple(
            _Whole.apply(value, torch.cat(values), sum(map(len, values[:number])), self.shares[number])
            for value, values in zip(own, self._of_all(*own), strict=True)
        )

    def computed(self, descend: Callable[[Parts, float], Tensor], look: Callable[[Parts], object]) -> list[Tensor]:
        """What `descend` returns for each piece and its weight; `look` computes a piece without gradients before.

        Raises MethodError for a loss of which some pieces ask for more than others.
        """
        while True:
            values: list[Tensor] = []
            try:
                for place in range(len(self.pieces)):
                    values.append(self._at(place, descend))
            except _Asked as question:
                if values:
                    raise _unlike() from question
                self._look_ahead(look)
            else:
                return values

    def _look_ahead(self, look: Callable[[Parts], object]) -> None:
        """Find the answer to the first question that has none."""
        asked: list[tuple[Tensor, ...]] = []
        for place in range(len(self.pieces)):
            try:
                self._at(place, lambda parts, _: look(parts))
            except _Asked as question:
                asked.append(question.values)
        if len(asked) < len(self.pieces) or len(set(map(len, asked))) > 1:
            raise _unlike()
        self._answers.append([self.division.gathered(values) for values in zip(*asked, strict=True)])

    def _at(self, place: int, compute: Callable[[Parts, float], T]) -> T:
        parts, weight = self.pieces[place]
        self._place, self._asked = place, 0
        if self.shares is None:
            return compute(parts, weight)
        with torch.random.fork_rng(devices=self._devices):
            seed_generators(derive(self.seed, self._number))
            return compute(parts, weight)

    @property
    def _number(self) -> int:
        """The number of this piece among those of all processes."""
        return self.division.rank * len(self.pieces) + self._place

    def _of_all(self, *own: Tensor) -> list[list[Tensor]]:
        number, self._asked = self._asked, self._asked + 1
        if number < len(self._answers):
            return self._answers[number]
        values = tuple(value.detach() for value in own)
        if len(self.pieces) > 1:
            raise _Asked(values)
        return [self.division.gathered([value]) for value in values]


class _Asked(BaseException):
    """A loss needs what other pieces say of the batch; no `except Exception` of a method's keeps it."""

    def __init__(self, values: tuple[Tensor, ...]) -> None:
        self.values = values


class _Whole(torch.autograd.Function):
    """What the whole batch says, with the gradient of a piece: of a mean, or of the rows from `start` on."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, start: int | None, share: float) -> Tensor:
        ctx.rows, ctx.share = None if start is None else slice(start, start + len(own)), share
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        # The loss that is computed here is the whole one, and the engine multiplies it by the share.
        return gradient if ctx.rows is None else gradient[ctx.rows] / ctx.share, None, None, None


def _unlike() -> MethodError:
    return MethodError(
        "expected a loss that asks for the same of the whole batch (run.batch_mean, run.whole_batch) on every piece of "
        "it, got one that does not; call them whatever the numbers are"
    )
