"""The per-sample view: which forget samples a model still treats as members, and whether there are too many of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from obliviate.metrics.intervals import Interval, clopper_pearson

LEVELS = (0.01, 0.05)
NAMED = 20  # samples that are named; the share of all is counted


@dataclass(frozen=True)
class Sample:
    """A forget sample, and the share of unseen samples that look as much like a member as it does, a fraction."""

    name: str
    label: int | None
    p: float


@dataclass(frozen=True)
class Worst:
    """How many forget samples are among the 1 % and the 5 % of unseen samples that look most like members.

    A model that never saw them has 1 % and 5 % there; intervals are those of Clopper & Pearson. `samples` are the
    most exposed ones, worst first.
    """

    shares: dict[str, Interval]
    samples: tuple[Sample, ...]


def worst(
    forget: Float[np.ndarray, " f"],
    unseen: Float[np.ndarray, " u"],
    names: Shaped[np.ndarray, " f"],
    labels: Int[np.ndarray, " f"] | None,
) -> Worst:
    """Rank the forget samples by their membership scores, on the scale of the unseen ones.

    The rank of a score among those of unseen samples is a p-value whatever their distribution is (split conformal, Vovk
    et al. 2005), so that a model which is surer than the references are, of everything, is not blamed for it. `names`
    and `labels` are those of the forget samples; without classes there are no labels.

    >>> found = worst(np.array([9.0, 0.5]), np.arange(9.0), np.array(["a", "b"]), np.array([3, 4]))
    >>> found.samples[0], found.shares["0.05"].value
    (Sample(name='a', label=3, p=0.1), 0.0)
    """
    scale = np.sort(unseen)
    p = (1 + len(scale) - np.searchsorted(scale, forget, side="left")) / (1 + len(scale))
    order = np.lexsort((-forget, p))[:NAMED]
    return Worst(
        {f"{level:g}": clopper_pearson(int((p <= level).sum()), len(p)) for level in LEVELS},
        tuple(Sample(str(names[one]), None if labels is None else int(labels[one]), float(p[one])) for one in order),
    )
