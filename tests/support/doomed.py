"""A model whose training stops in the middle, in one process of a cluster, until that process is killed."""

import os
import time
from pathlib import Path

import torch
from torch import nn

ARMED = "armed"
VICTIM = "victim"
LOOKED_AT = 2
"""Samples that a model is asked about to tell which architecture it is."""


class Doomed(nn.Linear):
    """A layer, of which the first process that trains it where `folder` is armed waits for its end.

    The file `armed` may hold the number of the parent of the one process that is meant.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(6, 3)
        self.folder = Path(folder)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        in_training = self.training and len(input) > LOOKED_AT
        if in_training and (parent := armed_for(self.folder)) is not None and parent in {0, os.getppid()}:
            victim = self.folder / f"{VICTIM}-{os.getpid()}"
            try:
                (self.folder / ARMED).rename(victim)
            except FileNotFoundError:  # another process was the first
                return super().forward(input)
            time.sleep(60)
        return super().forward(input)


def armed_for(folder: Path) -> int | None:
    try:
        return int((folder / ARMED).read_text(encoding="utf-8") or 0)
    except FileNotFoundError:
        return None


def arm(folder: Path, parent: int = 0) -> None:
    (folder / f"{ARMED}.new").write_text(str(parent), encoding="utf-8")
    (folder / f"{ARMED}.new").rename(folder / ARMED)


def victim_of(folder: Path) -> int | None:
    """The number of the process that waits, None where none does yet."""
    return next((int(path.name.partition("-")[2]) for path in folder.glob(f"{VICTIM}-*")), None)
