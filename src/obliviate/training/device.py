"""Where to compute: the device that is asked for, after a look whether it is there."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from obliviate.errors import TrainingError
from obliviate.training.compute import Compute

KINDS: Final = ("cpu", "cuda", "mps")


def best() -> torch.device:
    """Return the GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def chosen(name: torch.device | str | None = None) -> torch.device:
    """Return the device of this name, that of `training.compute` without one, and the best for none and for "auto".

    Raises TrainingError for a device that is not there.

    >>> chosen("cpu")
    device(type='cpu')
    """
    name = name or Compute.current().device
    if name is None or name == "auto":
        return best()
    if isinstance(name, torch.device) and name.type not in KINDS:
        return name  # of a backend that torch has and this package has no list of
    devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    if str(name) not in devices and not (str(name) == "cuda" and "cuda:0" in devices):
        raise TrainingError(f"expected a device of {', '.join(devices)}, got {str(name)!r}; name one that is there")
    return torch.device(name)


def brought(model: nn.Module) -> nn.Module:
    """Move a model that was read from disk to the device that is asked for; where none is, it stays where it is."""
    name = Compute.current().device
    return model if name is None else model.to(chosen(name))
