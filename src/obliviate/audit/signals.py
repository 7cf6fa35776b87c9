"""What attacks read of a model's outputs: of logits of classes, or of likelihoods where a task has no classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from obliviate.attacks.membership import rmia
from obliviate.audit.inputs import EVIDENCE, NLL, RIGHT, SCORE, AuditSettings
from obliviate.errors import AuditError
from obliviate.metrics.utility import correct, margin

Labels = Int[np.ndarray, " n"] | None


@dataclass(frozen=True, eq=False)
class Signals:
    """What attacks read of one model: RMIA's probability, LiRA's margin, and the share that it has right, by sample.

    Where samples have no classes, utility is read from `losses`, −log of the target's likelihood, and of samples with
    several labels from the `answers`, yes or no for every label.
    """

    confidence: Float[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]
    correct: Float[np.ndarray, " n"]
    losses: Float[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0))
    answers: Bool[np.ndarray, "n labels"] = field(default_factory=lambda: np.empty((0, 0), dtype=bool))


def read(outputs: Float[np.ndarray, "n k"], labels: Labels, settings: AuditSettings, *, whose: str) -> Signals:
    """Reduce a model's outputs to what attacks read; raises AuditError for NaN and infinity.

    With `labels` outputs are logits; without, the columns −log-likelihood, score and share right, and any number of
    answers, 0 or 1. The settings of the softmax (temperature, form) play no part then: RMIA's probability is the
    likelihood.

    >>> seen = read(np.array([[0.5, 0.4, 1.0]]), None, AuditSettings(), whose="a model")
    >>> seen.confidence.round(3).tolist(), seen.margin.tolist()
    ([0.607], [0.4])
    """
    if not np.isfinite(outputs).all():
        raise AuditError(f"expected finite logits, got NaN or infinity from {whose}; the model has diverged")
    if labels is None:
        wide = outputs.astype(np.float64)
        answers = wide[:, EVIDENCE:] > 0.5
        return Signals(np.exp(-wide[:, NLL]), wide[:, SCORE], wide[:, RIGHT], wide[:, NLL], answers)
    return Signals(
        rmia.confidence(outputs, labels, temperature=settings.temperature, form=settings.form),
        margin(outputs, labels),
        correct(outputs, labels).astype(np.float64),
    )


def margins(outputs: Float[np.ndarray, "n k"], labels: Labels) -> Float[np.ndarray, " n"]:
    """LiRA's margin alone.

    >>> margins(np.array([[2.0, 0.0]]), np.array([0])).tolist()
    [2.0]
    """
    return outputs[:, SCORE].astype(np.float64) if labels is None else margin(outputs, labels)
