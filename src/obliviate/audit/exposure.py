"""The per-sample view: which forget samples a model still treats as members, and whether there are too many of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped

from obliviate.metrics.intervals import clopper_pearson
from obliviate.results.model import ExposedSample, Exposure
from obliviate.results.values import Interval

LEVELS = (0.01, 0.05)
NAMED = 20  # samples that are named; the share of all is counted


def exposure(
    forget: Float[np.ndarray, " f"],
    unseen: Float[np.ndarray, " u"],
    names: Shaped[np.ndarray, " f"],
    labels: Int[np.ndarray, " f"] | None,
) -> Exposure:
    """Rank the forget samples by their membership scores, on the scale of the unseen ones.

    The rank of a score among those of unseen samples is a p-value whatever their distribution is (split conformal, Vovk
    et al. 2005), so that a model which is surer than the references are, of everything, is not blamed for it. A model
    that never saw the samples has 1 % and 5 % of them among the 1 % and the 5 % of unseen samples that look most like
    members; intervals are those of Clopper & Pearson. `names` and `labels` are those of the forget samples; without
    classes there are no labels.

    >>> found = exposure(np.array([9.0, 0.5]), np.arange(9.0), np.array(["a", "b"]), np.array([3, 4]))
    >>> found.samples[0], found.shares["0.05"].value
    (ExposedSample(name='a', label=3, p=0.1), 0.0)
    """
    scale = np.sort(unseen)
    p = (1 + len(scale) - np.searchsorted(scale, forget, side="left")) / (1 + len(scale))
    order = np.lexsort((-forget, p))[:NAMED]
    shares = {f"{level:g}": clopper_pearson(int((p <= level).sum()), len(p)) for level in LEVELS}
    return Exposure(
        shares={
            level: Interval(value=100 * share.value, low=100 * share.low, high=100 * share.high)
            for level, share in shares.items()
        },
        samples=tuple(
            ExposedSample(
                name=str(names[place]), label=None if labels is None else int(labels[place]), p=float(p[place])
            )
            for place in order
        ),
    )
