"""Which samples each reference model is trained on."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Shaped

from obliviate._util.seeds import derive
from obliviate.errors import AuditError

MOST: Final = 10_000
"""Reference models that a pool may have."""


def check_count(models: int) -> None:
    """Refuse a number of reference models that no balanced plan has; raises AuditError."""
    if models < 4 or models % 2:
        raise AuditError(f"expected an even number of reference models, at least 4, got {models}; 16 is the default")
    if models > MOST:
        raise AuditError(f"expected at most {MOST:,} reference models, got {models}; 16 is the default")


def leave_half_out(
    models: int, samples: int, *, seed: int, groups: Shaped[np.ndarray, " samples"] | None = None
) -> Bool[np.ndarray, "models samples"]:
    """Plan a balanced matrix: every sample is in exactly half of the models, every model has half of the samples.

    Models come in complementary pairs (a random half, then the other half), so that a plan for more models begins
    with the plan for fewer: 16 references grow to 32 without training any again.

    `groups` tells which samples belong together, such as those of one owner, by equal values: a model has all of a
    group or nothing, so that every group is wholly unknown to half of the models. Halves are then equal up to the size
    of the largest group.

    >>> leave_half_out(4, 6, seed=0).sum(axis=0).tolist()
    [2, 2, 2, 2, 2, 2]
    >>> leave_half_out(4, 6, seed=0, groups=np.array([7, 7, 7, 1, 1, 1]))[:, :3].sum(axis=1).tolist()
    [3, 0, 0, 3]
    """
    check_count(models)
    rows = []
    for pair in range(models // 2):
        generator = np.random.default_rng(derive(seed, "leave half out", pair))
        half = np.zeros(samples, dtype=bool)
        if groups is None:
            half[generator.permutation(samples)[: samples // 2]] = True
        else:
            half = _half_of_groups(groups, generator)
        rows += [half, ~half]
    return np.stack(rows)


def _half_of_groups(groups: Shaped[np.ndarray, " n"], generator: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Put groups in random order into the half that has fewer samples; which half is meant is a coin's toss."""
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    inside, counts = np.zeros(len(sizes), dtype=bool), [0, 0]
    for group in generator.permutation(len(sizes)):
        side = int(counts[1] < counts[0])
        inside[group] = bool(side)
        counts[side] += int(sizes[group])
    return inside[places] ^ bool(generator.integers(2))
