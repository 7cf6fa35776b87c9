"""The per-sample view: which forget samples a model still treats as members, and whether there are too many of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from obliviate.attacks.membership import lira
from obliviate.attacks.membership.moments import Moments
from obliviate.metrics.intervals import Interval, clopper_pearson

LEVELS = (0.01, 0.05)
NAMED = 20  # samples that are named; the share of all is counted


@dataclass(frozen=True)
class Sample:
    """A forget sample, and the share of unseen samples that look as much like a member as it does, a fraction."""

    name: str
    label: int
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
    margins: Float[np.ndarray, " n"],
    moments: Moments,
    forget: Shaped[np.ndarray, " f"],
    unseen: Shaped[np.ndarray, " u"],
    names: Shaped[np.ndarray, " n"],
    labels: Shaped[np.ndarray, " n"],
) -> Worst:
    """Rank the forget samples by how much a model treats them as members, on the scale of unseen ones.

    A sample's strangeness is its p-value under the references that never saw it (`lira.p_values`); its rank among those
    of the unseen samples is a p-value whatever the distribution of margins is (split conformal, Vovk et al. 2005), so
    that a model that is surer than the references are, of everything, is not blamed for it.
    """
    found = lira.p_values(margins, moments)
    scale = np.sort(found[unseen])
    p = (1 + np.searchsorted(scale, found[forget], side="right")) / (1 + len(scale))
    order = np.argsort(p, kind="stable")[:NAMED]
    return Worst(
        {f"{level:g}": clopper_pearson(int((p <= level).sum()), len(p)) for level in LEVELS},
        tuple(Sample(str(names[forget[one]]), int(labels[forget[one]]), float(p[one])) for one in order),
    )
