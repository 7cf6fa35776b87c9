"""Architectures by name: one per file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from obliviate.models.mlp import MLP
from obliviate.models.small_cnn import SmallCNN

ARCHITECTURES: Final[dict[str, Callable[..., nn.Module]]] = {
    "mlp": MLP,
    "small_cnn": SmallCNN,
}
