"""Which samples each reference model is trained on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from obliviate.errors import AuditError
from obliviate.seeds import derive


def check_count(models: int) -> None:
    """Refuse a number of reference models that no balanced plan has; raises AuditError."""
    if models < 4 or models % 2:
        raise AuditError(f"expected an even number of reference models, at least 4, got {models}; 16 is the default")


def leave_half_out(models: int, samples: int, *, seed: int) -> Bool[np.ndarray, "models samples"]:
    """Plan a balanced matrix: every sample is in exactly half of the models, every model has half of the samples.

    Models come in complementary pairs (a random half, then the other half), so that a plan for more models begins
    with the plan for fewer: 16 references grow to 32 without training any again.

    >>> leave_half_out(4, 6, seed=0).sum(axis=0).tolist()
    [2, 2, 2, 2, 2, 2]
    """
    check_count(models)
    rows = []
    for pair in range(models // 2):
        generator = np.random.default_rng(derive(seed, "leave half out", pair))
        half = np.zeros(samples, dtype=bool)
        half[generator.permutation(samples)[: samples // 2]] = True
        rows += [half, ~half]
    return np.stack(rows)
