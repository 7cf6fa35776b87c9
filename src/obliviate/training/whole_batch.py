"""What a loss needs of a whole batch while a process computes a piece of it: means, and outputs sample by sample.

A piece's loss counts in proportion to its share of the samples (`training.division`), which is right for a mean over
samples and for nothing else. A loss that is more than that asks here for what all pieces say; it gets the numbers of
the whole batch, with the gradient of its own piece, so that the gradients of all pieces add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
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

    def __init__(self, division: Division, parts: Parts, *, uneven: bool, seed: int, device: torch.device) -> None:
        self.division, self.seed = division, seed
        self.pieces = division.of(parts, uneven=uneven)
        self.shares = division.shares(parts, uneven=uneven)  # None: nobody cuts it, and what a loss has is of the whole
        self._devices = [device] if device.type == "cuda" else []
        self._answers: list[list[list[Tensor]]] = []  # to each question, for each of its values, those of all pieces
        self._place = self._asked = 0

    def means(self, *own: tuple[Tensor, Sized]) -> tuple[Tensor, ...]:
        """The means over whole batches, of those over a piece's samples."""
        if self.shares is None:
            return tuple(mean for mean, _ in own)
        share = self.shares[self._number]
        rows = [
            torch.stack([mean.detach().float(), mean.new_tensor(len(samples)).float()])[None] for mean, samples in own
        ]
        whole: list[Tensor] = []
        for (mean, samples), pieces in zip(own, self._of_all(*rows), strict=True):
            means, sizes = torch.cat(pieces).unbind(1)
            parts = sizes / sizes.sum()
            whole.append(_Mean.apply(mean, (parts * means).sum().to(mean.dtype), len(samples) / sizes.sum() / share))
        return tuple(whole)

    def rows(self, *own: Tensor) -> tuple[Tensor, ...]:
        """The rows of the whole batch, in its order, of which `own` are a piece's."""
        if self.shares is None:
            return own
        number = self._number
        return tuple(
            _Rows.apply(value, torch.cat(values), sum(map(len, values[:number])), self.shares[number])
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


# The loss that is made of what these return is the whole one, and the engine multiplies it by the piece's share.


class _Mean(torch.autograd.Function):
    """A mean over the whole batch, with the gradient of a piece's mean times `part`."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, part: Tensor) -> Tensor:  # noqa: ARG004 - what is derived by
        ctx.part = part
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.part * gradients[0], None, None


class _Rows(torch.autograd.Function):
    """The rows of the whole batch, with the gradient of a piece's, which begin at `start`."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, start: int, share: float) -> Tensor:
        ctx.rows, ctx.share = slice(start, start + len(own)), share
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return gradients[0][ctx.rows] / ctx.share, None, None, None


def _unlike() -> MethodError:
    return MethodError(
        "expected a loss that asks for the same of the whole batch (run.batch_means, run.whole_batch) on every piece "
        "of it, got one that does not; call them whatever the numbers are"
    )
