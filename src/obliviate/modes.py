"""Training and evaluation mode of a model and all its parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model into evaluation mode, and afterwards every part of it back into its own.

    `model.train(before)` would do so for the whole only, and thaw batch norms that a user has frozen.

    >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     [one.training for one in model]
    [False, False]
    >>> [one.training for one in model]
    [True, False]
    """
    modes = [(one, one.training) for one in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for one, training in modes:
            one.training = training
