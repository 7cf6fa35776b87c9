"""What was planned before training, so that the audit can test it exactly: coins, and noise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate._util.locks import held
from obliviate.canaries.coin_flips import coin_flips
from obliviate.canaries.coins import Coins, toss
from obliviate.canaries.noise import noisy_ids, plant, planted_noise
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import DataError, WorkspaceError
from obliviate.results.canaries import CoinFlips, PlantedNoise
from obliviate.task import Task
from obliviate.workflow import TrainedModel

SIGMA: Final = 0.1  # of pixels in [0, 1]; noise of 0.3 sets forget samples so much apart that verdicts are open


@dataclass(frozen=True, eq=False)
class Noise:
    """Samples before and after noise of scale `sigma` was added to them."""

    clean: Samples
    noisy: Samples
    values: Tensor
    sigma: float


@dataclass(frozen=True, eq=False)
class Plan:
    """Of the samples `whole`: `coins` get a fair coin and are left out if it shows tails, `noise` others get noise.

    `sigma` is the scale of the noise. All draws are functions of the seed. Raises DataError, when they are first
    needed, for numbers that the samples are too few for, and for a scale without noise.
    """

    whole: Samples
    seed: int
    coins: int | None = None
    noise: int | None = None
    sigma: float | None = None

    @cached_property
    def tossed(self) -> Coins | None:
        """How the coins fell, None where there are none."""
        return None if self.coins is None else toss(self.whole.ids, self.coins, self.seed)

    @cached_property
    def planted(self) -> Noise | None:
        """The noise, None where there is none."""
        if self.noise is None:
            if self.sigma is not None:
                raise DataError(f"expected noise to be of scale {self.sigma:g}, got none; add --noise N")
            return None
        tossed = [] if self.tossed is None else [*self.tossed.heads, *self.tossed.tails]
        free = self.whole.ids[~np.isin(self.whole.ids, tossed)]
        clean = self.whole.select(noisy_ids(free, self.noise, seed=self.seed))
        sigma = SIGMA if self.sigma is None else self.sigma
        noisy, values = plant(clean, sigma=sigma, seed=self.seed)
        return Noise(clean, noisy, values, sigma)

    @cached_property
    def train(self) -> Samples:
        """What is trained on: without tails, with noise, in the order of the whole."""
        train = self.whole if self.tossed is None else self.whole.without(self.tossed.tails)
        if self.planted is None:
            return train
        return train.without(self.planted.clean.ids).joined(self.planted.noisy).select(train.ids)

    def keep(self, folder: Path) -> None:
        """Write down what was drawn; raises WorkspaceError where that was another time otherwise."""
        if (coins := self.tossed) is not None:
            _keep(folder / "coins.json", {"heads": coins.heads.tolist(), "tails": coins.tails.tolist()}, "coins")
        if (noise := self.planted) is not None:
            digest = hashlib.sha256(noise.values.numpy().tobytes()).hexdigest()
            facts = {"sigma": noise.sigma, "values_sha256": digest, "ids": noise.clean.ids.tolist()}
            _keep(folder / "noise.json", facts, "noise")

    def tests(
        self, models: Sequence[TrainedModel], split: Split, task: Task
    ) -> tuple[CoinFlips | None, PlantedNoise | None, list[str]]:
        """The exact tests of models by coins and by noise; and what was planned and cannot be tested."""
        by_coins = by_noise = None
        notes = []
        asked = set(split.forget.ids)
        if (coins := self.tossed) is not None:
            if asked == set(coins.heads):
                tails = self.whole.select(coins.tails)
                by_coins = coin_flips(models, split.forget, tails)
            else:
                notes.append("The coins were not tested: that needs a request for the heads (--forget coins).")
        if (noise := self.planted) is not None:
            if asked == set(noise.clean.ids):
                by_noise = planted_noise(models, noise.clean, noise.values, task, sigma=noise.sigma)
                notes += by_noise.notes
            else:
                notes.append("The noise was not tested: that needs a request for its samples (--forget noise).")
        return by_coins, by_noise, notes


def _keep(path: Path, facts: dict[str, Any], name: str) -> None:
    if not path.exists():
        with held(path.parent):
            write_sealed_json(path, facts)
    elif read_sealed_json(path, remedy="restore it, or begin in a new folder") != facts:
        raise WorkspaceError(
            f"expected the {name} that {path.parent} was made with, got others in {path.name}; the file was "
            "edited, or another version of numpy or torch draws other numbers: begin in a new folder"
        )
