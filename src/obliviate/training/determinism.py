"""The same sums in the same order on a GPU, whose fastest kernels add up as their threads happen to come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import torch
from torch.utils import deterministic

CUBLAS: Final = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Have torch choose kernels on a GPU that give the same bits each time.

    Where torch has no such kernel for what a model computes, it warns and takes the other. A processor adds up in the
    same order anyway. The settings are torch's own, of the whole process; they are given back at the end.

    >>> with repeatable(torch.device("cpu")):
    ...     torch.are_deterministic_algorithms_enabled()
    False
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault(CUBLAS, ":4096:8")  # torch asks for it before the first product of matrices
    with ExitStack() as given_back:
        enabled = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        given_back.callback(torch.use_deterministic_algorithms, enabled, warn_only=warn_only)
        torch.use_deterministic_algorithms(True, warn_only=warn_only or not enabled)
        for settings, name in (
            (torch.backends.cudnn, "benchmark"),  # chooses kernels by their speed today
            (deterministic, "fill_uninitialized_memory"),  # with NaN, to find bugs
        ):
            given_back.callback(setattr, settings, name, getattr(settings, name))
            setattr(settings, name, False)
        given_back.callback(torch.backends.cuda.enable_cudnn_sdp, torch.backends.cuda.cudnn_sdp_enabled())
        torch.backends.cuda.enable_cudnn_sdp(False)  # the attention that gives other bits each time; there are others
        yield
