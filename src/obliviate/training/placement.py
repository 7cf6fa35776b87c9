"""Where the models and the data of a run are: on which device, in which order of memory, whole or in parts."""

from __future__ import annotations

from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.task import InputSpace
from obliviate.training.compute import Compute
from obliviate.training.device import chosen
from obliviate.training.division import Division, whole
from obliviate.training.precision import Precision
from obliviate.types import Batch

Placed = TypeVar("Placed", nn.Module, Split, Samples, Batch, Tensor, InputSpace)


class Placement:
    """Puts values where steps are taken: on the device of a precision, and in parts where a division asks for them.

    Samples are copied once, however often they are asked for.

    >>> placement = Placement.choose("cpu", "float32")
    >>> placement.place(torch.zeros(2)).device
    device(type='cpu')
    """

    def __init__(self, precision: Precision, division: Division) -> None:
        self.precision = precision
        self.division = division
        self._samples: WeakKeyDictionary[Samples, Samples] = WeakKeyDictionary()
        self._plain: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()

    @classmethod
    def choose(cls, device: torch.device | str | None, precision: str) -> Placement:
        """The placement that `training.compute` asks for here, on a device and in a precision by their names.

        Raises TrainingError for a device that is not there and for processes that nobody started, and RecipeError for
        an unknown precision.
        """
        division = Division.current()
        chosen_device = division.place(chosen(device))
        name = Compute.current().precision if precision == "auto" else precision
        return cls(Precision.choose(name, chosen_device), division)

    @property
    def device(self) -> torch.device:
        """Where models and data are."""
        return self.precision.device

    def place(self, value: Placed) -> Placed:
        """Put a value on the device: a model itself, of samples what is held in memory."""
        if isinstance(value, Samples):
            return self._moved(value)
        if isinstance(value, Split):
            sets = (value.forget, value.retain, value.holdout)
            forget, retain, holdout = (None if part is None else self._moved(part) for part in sets)
            assert forget is not None
            return Split(forget, retain, holdout)
        if isinstance(value, Batch):
            return Batch(self.precision.inputs(value.x), value.y.to(self.device), value.ids)
        return self.precision.prepare(value) if isinstance(value, nn.Module) else value.to(self.device)

    def laid_out(self, model: nn.Module, samples: Samples) -> nn.Module:
        """Go over to the order of the axes, with this model too, where it cannot do with images in channels-last."""
        precision = self.precision.laid_out_for(model, samples)
        if precision == self.precision:
            return model
        self.precision = precision
        return self.place(model)

    def divided(self, model: nn.Module) -> nn.Module:
        """Return the same model, of which this process goes on to hold a part where that is asked for."""
        if (plain := self.division.shard(model)) is not None:
            self._plain[model] = plain
        return model

    def whole(self, model: nn.Module) -> nn.Module:
        """Return a model of which this process holds a part as a plain model, and any other as it is."""
        plain = self._plain.get(model)
        return model if plain is None else whole(model, plain)

    def _moved(self, samples: Samples) -> Samples:
        """The samples on the device, copied there once for all epochs."""
        moved = self._samples.get(samples)
        if moved is None:
            moved = samples.to(self.device)
            if moved is not samples:  # a value that is its own key would never be let go
                self._samples[samples] = moved
        return moved
