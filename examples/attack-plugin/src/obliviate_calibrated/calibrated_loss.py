"""Difficulty calibration (Watson et al. 2022, arXiv 2111.08440): the loss beside that of models that never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from obliviate.membership import Outputs, Scores, Signal, Target, Use, logistic


@dataclass(frozen=True)
class Loss:
    """The loss of each sample, −log of the target's likelihood."""

    def __call__(self, outputs: Outputs) -> np.ndarray:
        return outputs.losses if outputs.labels is None else logistic.loss(outputs.values, outputs.labels)


@dataclass(frozen=True, kw_only=True)
class CalibratedLoss:
    """The mean loss of references that never saw a sample, less the loss of the model; a `share` of it is taken off."""

    name: ClassVar[str] = "calibrated_loss"
    title: ClassVar[str] = "calibrated loss"
    source: ClassVar[str] = "Watson et al., ICLR 2022, arXiv 2111.08440"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})
    use: ClassVar[Use] = "figure"

    share: float = 1.0

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What is kept of every reference."""
        return (Loss(),)

    def __call__(self, target: Target) -> Scores:
        (loss,) = self.signals
        return self.share * target.moments(loss).mean(inside=False) - target.signal(loss)
