"""The values that every layer exchanges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

SampleId: TypeAlias = str
"""A stable name of one training sample: the user's key, or the hash of its content."""

Ids: TypeAlias = Shaped[np.ndarray, " n"]
"""An array of sample ids (numpy unicode)."""


@dataclass(frozen=True)
class Batch:
    """Samples that are processed together, each with its stable id.

    `x` has the shape "n ..."; `y` "n" for classification, and whatever the task defines otherwise.

    >>> import numpy as np, torch
    >>> len(Batch(torch.zeros(2, 1, 8, 8), torch.tensor([3, 1]), np.array(["a", "b"])))
    2
    """

    x: Shaped[Tensor, " n ..."]
    y: Shaped[Tensor, " n ..."]
    ids: Ids

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Batch:
        """Move inputs and targets to a device."""
        return Batch(self.x.to(device), self.y.to(device), self.ids)
