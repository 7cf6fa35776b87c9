"""Torch's global random state, on the processor and on every GPU: seeded for a while, then given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generators of all devices, and give their states back at the end.

    >>> before = torch.get_rng_state()
    >>> with seeded(0):
    ...     x = torch.rand(2)
    >>> torch.get_rng_state().equal(before)
    True
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
