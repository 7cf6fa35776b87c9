"""The global random states of Python, numpy and torch, which a check must leave as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give the random states of Python, numpy and torch, on all devices, back at the end; nothing is seeded.

    >>> before = torch.get_rng_state()
    >>> with undisturbed():
    ...     first, second = torch.rand(2)
    >>> torch.get_rng_state().equal(before), bool(first == second)
    (True, False)
    """
    python, numpy = random.getstate(), np.random.get_state()  # what a user's code may draw from
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
