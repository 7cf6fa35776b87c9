"""The score of the NeurIPS 2023 unlearning competition, from shadows, where they are enough to mean something."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from obliviate.metrics.distance import forgetting_epsilon, forgetting_quality
from obliviate.results.model import Competition

# Of 8 models a side, margins that lie a standard deviation apart give F = 0.16 where equal ones give 0.20; of 16, 0.10.
LEAST: Final = 16


def of_shadows(
    margins: Float[np.ndarray, "shadows k"], included: Bool[np.ndarray, "shadows k"], *, utility: float | None
) -> Competition:
    """The score over k forget samples, from margins of shadows that had and forgot each and of those that never had it.

    The groups are those of `distances.klom_of_shadows`, a quarter of the shadows each. `utility` is the product of the
    ratios of accuracies, (RA_U / RA_R) (TA_U / TA_R), None where there are no retrained models (arXiv 2406.09073).
    F is that of shadows that had and forgot each sample against as many that never had it, its floor that of two groups
    that never had it. Below 16 models a group no figure is given: F is then about the same whether a method forgets or
    not.

    >>> rng = np.random.default_rng(0)
    >>> had = np.arange(64)[:, None] % 2 == np.arange(8) % 2
    >>> equal, far = (of_shadows(rng.normal(size=(64, 8)) + 9 * gap * had, had, utility=0.5) for gap in (0, 1))
    >>> equal.quality > 0.1, far.quality, far.score, of_shadows(np.zeros((8, 8)), had[:8], utility=1.0).quality
    (True, 0.0, 0.0, None)
    """
    size = int(min(included.sum(axis=0).min(), (~included).sum(axis=0).min() // 2))
    if size < LEAST:
        return Competition(models=size, shadows_needed=4 * LEAST, quality=None, floor=None, score=None)
    order = np.argsort(included, axis=0, kind="stable")  # never had it first
    never, had = (np.take_along_axis(margins, rows, axis=0) for rows in (order, order[::-1]))
    quality, floor = (
        forgetting_quality(forgetting_epsilon(group, never[:size]), models=size)
        for group in (had[:size], never[size : 2 * size])
    )
    score = None if utility is None else quality * utility
    return Competition(models=size, shadows_needed=4 * LEAST, quality=quality, floor=floor, score=score)
