"""What a model says of samples, and all that attacks read: logits of classes, or likelihoods without classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.errors import AuditError
from obliviate.metrics import utility

Labels: TypeAlias = Int[np.ndarray, " n"] | None

NLL, SCORE, RIGHT = range(3)  # the columns of outputs that are not logits
EVIDENCE: Final = 3  # how many these are; answers to single labels may follow


@dataclass(frozen=True, eq=False)
class Outputs:
    """A model's outputs on n samples, and their classes.

    With `labels` the values are logits. Without, they are three columns, −log of the target's likelihood, the score
    that LiRA reads and the share that the model has right, and its answers may follow, 0 or 1 for every label.

    >>> seen = Outputs(np.array([[0.5, 0.4, 1.0]]), None)
    >>> seen.margin.tolist(), seen.correct.tolist(), seen.losses.tolist()
    ([0.4], [1.0], [0.5])
    >>> Outputs(np.array([[2.0, 0.0]]), np.array([0])).margin.tolist()
    [2.0]
    """

    values: Float[np.ndarray, "n k"]
    labels: Labels

    @classmethod
    def checked(cls, values: Float[np.ndarray, "n k"], labels: Labels, *, whose: str) -> Outputs:
        """The outputs of a model that people call `whose`; raises AuditError for NaN and infinity."""
        if not np.isfinite(values).all():
            raise AuditError(f"expected finite logits, got NaN or infinity from {whose}; the model has diverged")
        return cls(values, labels)

    def __len__(self) -> int:
        return len(self.values)

    def at(self, index: Int[np.ndarray, " k"]) -> Outputs:
        """The outputs on some of the samples."""
        return Outputs(self.values[index], None if self.labels is None else self.labels[index])

    @cached_property
    def margin(self) -> Float[np.ndarray, " n"]:
        """Log-odds of the right answer: how surely the model knows each sample (`metrics.utility.margin`)."""
        if self.labels is None:
            return self.values[:, SCORE].astype(np.float64)
        return utility.margin(self.values, self.labels)

    @cached_property
    def correct(self) -> Float[np.ndarray, " n"]:
        """The share that the model has right: 0 or 1 of a class."""
        if self.labels is None:
            return self.values[:, RIGHT].astype(np.float64)
        return utility.correct(self.values, self.labels).astype(np.float64)

    @cached_property
    def losses(self) -> Float[np.ndarray, " n"]:
        """−log of the target's likelihood, where samples have no classes; empty where they have."""
        return self.values[:, NLL].astype(np.float64) if self.labels is None else np.empty(0)

    @cached_property
    def answers(self) -> Bool[np.ndarray, "n labels"]:
        """Yes or no for every label, where samples have no classes; empty where they have."""
        none = np.empty((0, 0), dtype=bool)
        return self.values[:, EVIDENCE:].astype(np.float64) > 0.5 if self.labels is None else none
