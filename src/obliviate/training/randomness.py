"""Torch's global state, generators of all devices and threads: set for a while, then given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from obliviate._util.randomness import seed_generators


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
        seed_generators(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, which adds up in the same order everywhere.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
