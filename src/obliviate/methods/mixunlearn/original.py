"""The frozen original of MixUnlearn: what it shows of samples, asked once a sample where their inputs stay the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.stores import TensorStore
from obliviate.methods.mixunlearn.views import View
from obliviate.task import InputSpace
from obliviate.training.features import features, with_features
from obliviate.training.mixup_losses import sharpen
from obliviate.training.run import Run
from obliviate.types import Batch, SampleId

MOST_BYTES: Final = 2**28
"""How much of what the original shows is kept at most."""


@dataclass(frozen=True)
class Targets:
    """The targets p(x) of samples: one-hot labels, or what the original predicts, sharpened by a temperature.

    `aware` are labels read, but for those of the `unlabelled` ids; a `temperature` of None leaves predictions as they
    are.
    """

    classes: int
    aware: bool
    unlabelled: tuple[SampleId, ...]
    temperature: float | None

    @property
    def predicted(self) -> bool:
        """Whether any of them are predictions."""
        return not self.aware or bool(self.unlabelled)

    def of(self, batch: Batch, logits: Float[Tensor, "n classes"] | None, run: Run) -> Float[Tensor, "n classes"]:
        """Those of a batch, of which the original says the logits; None where nothing need be predicted."""
        labelled = F.one_hot(batch.y, self.classes).float()
        if logits is None:
            return labelled
        predicted = logits.float().softmax(1)
        if self.temperature is not None:
            predicted = sharpen(predicted, self.temperature)
        if not self.aware:
            return predicted
        hidden = torch.from_numpy(np.isin(batch.ids, np.array(self.unlabelled, dtype=str)))
        return torch.where(run.place(hidden)[:, None], predicted, labelled)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the original shows of some samples: maps for the generator, unit vectors that tell likeness, and targets."""

    maps: Float[Tensor, "n channels h w"]
    vectors: Float[Tensor, "n d"]
    targets: Float[Tensor, "n classes"]

    def at(self, places: Int[Tensor, " k"] | slice) -> Shown:
        """What it shows of the samples at these places."""
        return Shown(self.maps[places], self.vectors[places], self.targets[places])

    @property
    def bytes_each(self) -> int:
        """The memory that one sample takes."""
        return sum(part[0].numel() * part.element_size() for part in (self.maps, self.vectors, self.targets))


class Original:
    """The model as it was before anything was forgotten, in evaluation mode; its weights never change.

    `view` says how its layers are seen, and `paired` whether samples are mixed at all: else only targets are asked for.
    """

    def __init__(
        self, model: nn.Module, view: View, targets: Targets, space: InputSpace, run: Run, *, paired: bool
    ) -> None:
        self.model, self.view, self.targets, self.space, self.run = model, view, targets, space, run
        self.layer = view.layer if paired else None
        self._remembered: list[tuple[Samples, Shown]] = []

    def remember(self, *sets: Samples, visits: int) -> None:
        """Ask about all of these samples now, if that is less work than asking at each of so many visits.

        It is done where the network has to be asked at all, where inputs are held in memory as they are, without
        augmentation, and where what is shown of them takes no more than `MOST_BYTES`.
        """
        total = sum(map(len, sets))
        asked = self.layer is not None or self.targets.predicted
        if not asked or visits < total or not all(isinstance(samples.store, TensorStore) for samples in sets):
            return
        first = self.run.place(sets[0].take(torch.arange(1)))
        if total * self._ask(first).bytes_each <= MOST_BYTES:
            self._remembered = [(samples, self._all(samples)) for samples in sets]

    def shown(self, forget: Batch, retain: Batch) -> tuple[Shown, Shown]:
        """What it shows of a batch of each of the sets."""
        if self._remembered:
            first, second = (
                shown.at(self.run.place(samples.places(batch.ids)))
                for (samples, shown), batch in zip(self._remembered, (forget, retain), strict=True)
            )
            return first, second
        ids = np.concatenate([forget.ids, retain.ids])
        both = self._ask(Batch(torch.cat([forget.x, retain.x]), torch.cat([forget.y, retain.y]), ids))
        return both.at(slice(len(forget))), both.at(slice(len(forget), None))

    def likeness(self, samples: Samples) -> Iterator[tuple[Float[Tensor, "n d"], Float[Tensor, "n classes"]]]:
        """What all samples are compared by, and their targets, chunk by chunk."""
        for batch in map(self.run.place, self.run.in_order(samples)):
            x = self.space.points(batch.x)
            seen, logits = self.look(x, self.view.likeness)
            yield self.view.likeness_of(seen, x, batch.x), self.targets.of(batch, logits, self.run)

    @torch.no_grad()
    def look(
        self, x: Float[Tensor, " n ..."], layer: str | None
    ) -> tuple[Float[Tensor, " n ..."], Float[Tensor, "n classes"] | None]:
        """What a layer shows of points (without one, these), and the logits if they are needed."""
        with self.run.precision.autocast():
            if layer is None:
                return x, self.model(x) if self.targets.predicted else None
            if not self.targets.predicted:
                return features(self.model, x, layer), None
            logits, layer_output = with_features(self.model, x, layer)
            return layer_output, logits

    def _ask(self, batch: Batch) -> Shown:
        x = self.space.points(batch.x)
        seen, logits = self.look(x, self.layer)
        return Shown(self.view.map(seen, x), self.view.vector(seen, x), self.targets.of(batch, logits, self.run))

    def _all(self, samples: Samples) -> Shown:
        parts = [self._ask(batch) for batch in map(self.run.place, self.run.in_order(samples))]
        maps, vectors, targets = (
            torch.cat(each) for each in zip(*((part.maps, part.vectors, part.targets) for part in parts), strict=True)
        )
        return Shown(maps, vectors, targets)


def frozen(model: nn.Module) -> nn.Module:
    """A copy of a model that stays as it is: in evaluation mode, without gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)
