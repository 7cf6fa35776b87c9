"""The global random states of Python, numpy and torch: how torch's are seeded, and how all are given back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed torch's generators, of the processor and of every accelerator.

    Where there is no accelerator, `torch.manual_seed` would keep a call for each kind of them, with a text of the whole
    stack, for as long as the process lives; that takes longer than a step of a small model.

    >>> with undisturbed():
    ...     seed_generators(0)
    ...     first = torch.rand(2)
    ...     seed_generators(0)
    ...     bool(first.equal(torch.rand(2)))
    True
    """
    if has_accelerator():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def has_accelerator() -> bool:
    """Whether torch has another device here than the processor."""
    if hasattr(torch, "accelerator"):  # from torch 2.6 on, and for every kind
        return torch.accelerator.is_available()
    return torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available()


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
