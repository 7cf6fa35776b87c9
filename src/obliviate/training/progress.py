"""How far a piece of work is: who is told of it, in which words, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

TICK: Final = 0.1  # seconds between two reports of progress


@runtime_checkable
class Progress(Protocol):
    """Is told what is being done, and how far it is."""

    def __call__(self, stage: str, done: float, total: float) -> None: ...


def silent(stage: str, done: float, total: float) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Epoch:
    """Where a run is: in epoch `number`, from 0, of the `total` of a stage.

    >>> str(Epoch("train", 2, 5))
    'epoch 3 of train'
    """

    stage: str = ""
    number: int = 0
    total: int = 1

    def __str__(self) -> str:
        return f"epoch {self.number + 1} of {self.stage}"

    def reporter(self, progress: Progress, batches: int) -> Callable[[int], None]:
        """What to call with the number of batches that are done, of so many: it reports once a `TICK`.

        It reports nothing where their number is not known (0).
        """
        last = time.monotonic()

        def report(done: int) -> None:
            nonlocal last
            if batches and (now := time.monotonic()) - last >= TICK:
                last = now
                progress(self.stage, self.number + done / batches, self.total)

        return report
