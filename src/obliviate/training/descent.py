"""A step down a loss: in a precision, of whole batches or of pieces, by gradients that an update may change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from obliviate._util.modes import differentiable, normalising_alone
from obliviate._util.seeds import derive
from obliviate.errors import RecipeError, TrainingError
from obliviate.training.division import recomputing
from obliviate.training.placement import Placement
from obliviate.training.progress import Epoch
from obliviate.training.update import PLAIN, Update
from obliviate.training.whole_batch import WholeBatch
from obliviate.types import Batch

Loss = Callable[..., Tensor]
"""A scalar loss of (model, batch), or of (model, forget batch, retain batch) for paired batches."""


class Descent:
    """Takes the steps of a run, as its placement says: in its precision, and divided as it is.

    `seed` and the `epoch` that is set are those of what losses draw in pieces of a batch; with `recomputes` nothing is
    kept between the blocks of a model for the way back (`division.recomputing`).

    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 3.0)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> loss = lambda model, x: model(x).square().sum()
    >>> Descent(Placement.choose("cpu", "float32"), seed=0).step(model, [(torch.ones(1, 1),)], [1], loss, optimizer)
    tensor(9.)
    >>> model.weight.item()
    0.0
    """

    def __init__(self, placement: Placement, *, seed: int, recomputes: bool = False) -> None:
        self.placement = placement
        self.division = placement.division
        self.seed = seed
        self.recomputes = recomputes
        self.epoch = Epoch()
        self._whole_batch: WholeBatch | None = None
        self._batches_divided = 0

    def begin(self, epoch: Epoch) -> None:
        """Say in which epoch the next steps are."""
        self.epoch, self._batches_divided = epoch, 0

    def step(
        self,
        model: nn.Module,
        group: Sequence[tuple[Any, ...]],
        sizes: Sequence[int],
        loss: Loss,
        optimizer: Optimizer,
        update: Update = PLAIN,
    ) -> Tensor:
        """Take one step down the mean of the losses of some batches in proportion to their sizes, and return it."""
        optimizer.zero_grad(set_to_none=True)
        values = [
            value
            for parts, size in zip(group, sizes, strict=True)
            for value in self._descended(model, parts, loss, size / sum(sizes), update.uneven)
        ]
        value = values[0] if len(values) == 1 else torch.stack(values).sum()
        # The walk takes a tenth of a small network's step.
        weights = _trained(model) if update.changes_steps or self.division.processes > 1 else {}
        value = self.division.add_up(list(weights.values()), value)
        update.take(optimizer, weights, sharded=self.division.sharded)
        return value

    def means(self, *own: tuple[Tensor, Sized]) -> tuple[Tensor, ...]:
        """The means over whole batches, of those over the samples that a loss is given (`Run.batch_means`)."""
        return tuple(mean for mean, _ in own) if self._whole_batch is None else self._whole_batch.means(*own)

    def rows(self, *own: Tensor) -> tuple[Tensor, ...]:
        """The rows of whole batches, of which a loss has computed its `own` (`Run.whole_batch`)."""
        return own if self._whole_batch is None else self._whole_batch.rows(*own)

    def _descended(
        self, model: nn.Module, parts: tuple[Any, ...], loss: Loss, weight: float, uneven: bool
    ) -> list[Tensor]:
        """Add the gradient of a batch's weighted loss, and return the weighted loss of each piece that is done here."""
        if not self.division.divides:
            return [self._descend(model, parts, loss, weight)]
        self._batches_divided += 1
        seed = derive(self.seed, "pieces", self.epoch.stage, self.epoch.number, self._batches_divided)
        precision = self.placement.precision

        def look(piece: tuple[Any, ...]) -> None:
            with torch.no_grad(), differentiable(model), precision.autocast():
                loss(model, *piece)

        self._whole_batch = WholeBatch(self.division, parts, uneven=uneven, seed=seed, device=precision.device)
        try:
            return self._whole_batch.computed(
                lambda piece, share: self._descend(model, piece, loss, weight * share), look
            )
        finally:
            self._whole_batch = None

    def _descend(self, model: nn.Module, parts: tuple[Any, ...], loss: Loss, weight: float) -> Tensor:
        """Add the gradient of the weighted loss to that of the weights, and return the weighted loss."""
        with differentiable(model), recomputing(model, self.recomputes):
            # A cast that two passes share reaches weights in parts after the second has given its gradient away.
            with self.placement.precision.autocast(cached=not self.division.sharded):
                value = loss(model, *parts)
            if weight != 1:
                value = weight * value
            if not value.requires_grad:
                raise RecipeError(
                    f"expected a loss that depends on the weights of {type(model).__name__}, got a loss without a "
                    "gradient; remove `.detach()`, `torch.no_grad()` and `.argmax()` from its `forward`"
                )
            value.backward()
        return value.detach()


def normalising(model: nn.Module, group: Sequence[tuple[Any, ...]]) -> AbstractContextManager[None]:
    """The context in which a model may be trained on these batches, of which any may be a single sample."""
    alone = any(isinstance(part, Batch) and len(part) == 1 for parts in group for part in parts)
    return normalising_alone(model) if alone else nullcontext()


def check_finite(loss: float, epoch: Epoch, optimizer: Optimizer) -> None:
    """Refuse to go on from a loss that is no number; raises TrainingError.

    >>> check_finite(0.5, Epoch("train"), torch.optim.SGD([torch.zeros(1)]))
    """
    if not math.isfinite(loss):
        rate = optimizer.param_groups[0]["lr"]
        raise TrainingError(
            f"expected a finite loss, got {loss} in {epoch} (learning rate now {rate:.3g}); lower the learning rate"
        )


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a model that train, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
