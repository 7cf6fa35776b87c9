"""The time that a piece of work takes, which may be interrupted and gone on with, and of which not all counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """The seconds spent on a piece of work so far: those before an interruption included, `untimed` parts left out.

    >>> clock = Clock()
    >>> clock.spent(60.0)
    >>> clock.seconds >= 60.0
    True
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = 0.0
        self._stopped = False

    @property
    def seconds(self) -> float:
        """The time spent so far, in seconds."""
        return self._before + time.monotonic() - self._began

    def spent(self, seconds: float) -> None:
        """Count what the same work had taken, before it was interrupted, by the state that is gone on from."""
        self._before = max(self._before, seconds)

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Leave what is done inside out, once where such parts are nested."""
        if self._stopped:  # by whoever called this
            yield
            return
        self._stopped, started = True, time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - started
            self._stopped = False

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what is done inside, also in the midst of an `untimed` part."""
        started = time.monotonic()
        yield
        if self._stopped:
            self._began -= time.monotonic() - started
