"""What trainings, methods and audits compute with: a device, a precision, processes that read data, a batch size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from obliviate.errors import TrainingError

PARALLEL = (None, "ddp", "fsdp")
PRECISIONS = ("auto", "bfloat16", "float32")


@dataclass(frozen=True, kw_only=True)
class Compute:
    """What the machine is asked for, by everything that is called inside `computing`.

    `device` is where trainings and methods run ("cpu", "cuda", "cuda:1", "mps"), None or "auto" a GPU if there is one.
    `precision` is the number format of trainings whose recipe leaves it to the machine (`Recipe.precision` "auto"):
    "auto" is what the device is fast at, "bfloat16" or "float32" decide. `loader_workers` is the number of processes
    that read samples which are not held in memory; 0 reads in the process itself. `evaluation_batch` is how many
    samples a model is asked about at once where nothing is trained: fewer need less memory, and may change the last
    bits of what it answers.

    `parallel` divides one model among the processes that `torchrun` has started: "ddp", of which each holds all of it,
    or "fsdp", of which each holds a part. `accumulate` is in how many pieces each of them computes its part of a batch,
    one after the other, for less memory. `gradient_checkpointing` keeps nothing between the blocks of a model for the
    way back. Weights are then those of one process and whole batches up to rounding (docs/howto/one-large-model.md).

    None of it is part of what a model, a pool or a request is called by: it says where they are made.

    Raises TrainingError for settings out of range.
    """

    device: str | None = None
    precision: str = "auto"
    loader_workers: int = 0
    evaluation_batch: int = 500
    parallel: str | None = None
    accumulate: int = 1
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise TrainingError(f"expected a precision of {', '.join(PRECISIONS)}, got {self.precision!r}; use 'auto'")
        if self.parallel not in PARALLEL:
            raise TrainingError(
                f"expected parallel of 'ddp' or 'fsdp', got {self.parallel!r}; leave it out for one process"
            )
        for name, least in (("loader_workers", 0), ("evaluation_batch", 1), ("accumulate", 1)):
            if (value := getattr(self, name)) < least:
                raise TrainingError(f"expected {name} of {least} or more, got {value}; correct it")

    @staticmethod
    def current() -> Compute:
        """Return what is asked for at this place of the program."""
        return _current.get()

    @contextmanager
    def used(self) -> Iterator[Compute]:
        """Ask for this inside."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: ContextVar[Compute] = ContextVar("compute", default=Compute())  # noqa: B039


@contextmanager
def computing(**settings: Any) -> Iterator[Compute]:
    """Compute with these settings of `Compute` inside, and with those from outside where they are left out.

    Every function of the package follows, and so do the processes that it starts to train references.
    Raises TrainingError for settings out of range.

    >>> with computing(device="cpu", evaluation_batch=100) as outer, computing(loader_workers=2) as inner:
    ...     inner.device, inner.loader_workers, inner.evaluation_batch
    ('cpu', 2, 100)
    """
    with replace(Compute.current(), **settings).used() as compute:
        yield compute
