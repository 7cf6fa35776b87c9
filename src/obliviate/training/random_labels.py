"""Random wrong labels: what methods that teach the model nonsense about the forget set train on."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Int
from torch import Tensor

from obliviate._util.seeds import derive
from obliviate.errors import MethodError
from obliviate.types import Batch, Ids


def wrong_labels(y: Int[Tensor, " n"], ids: Ids, *, classes: int, seed: int) -> Int[Tensor, " n"]:
    """Draw for each sample a label that is not `y`, all others being equally likely; a function of (seed, id, y).

    Raises MethodError for fewer than two classes, which have no wrong label.

    >>> import numpy as np
    >>> wrong_labels(torch.tensor([0, 1, 1]), np.array(["a", "b", "c"]), classes=2, seed=0)
    tensor([1, 0, 0])
    """
    if classes < 2:
        raise MethodError(f"expected at least two classes to draw wrong labels from, got {classes}; use another method")
    steps = [1 + derive(seed, "wrong label", str(name)) % (classes - 1) for name in ids]
    return (y + torch.tensor(steps, device=y.device)) % classes


def with_random_labels(batch: Batch, *, classes: int, seed: int) -> Batch:
    """The same inputs with wrong labels."""
    return dataclasses.replace(batch, y=wrong_labels(batch.y, batch.ids, classes=classes, seed=seed))
