"""Calls that were lost with the machine they ran on are submitted again, a few times, which is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from obliviate.references.executors.protocol import Pending

LOG: Final = logging.getLogger("obliviate")
MOST: Final = 3
"""Times that a call is submitted again."""
PAUSE: Final = 2.0
"""Seconds before it is submitted for the second time, and three times as many before the third: an engine may go on
giving calls to a machine that has ended until it knows of that."""


@dataclass
class Resubmitted:
    """A result to come of a call that is submitted again when it was lost, as `Pending` is.

    `submit` submits the call; `lost` are the errors by which the engine tells that a machine or process has ended.

    >>> from concurrent.futures import Future
    >>> dead, alive = Future(), Future()
    >>> dead.set_exception(BrokenPipeError("the node"))
    >>> alive.set_result(3)
    >>> futures = iter([dead, alive])
    >>> pending = Resubmitted(lambda: next(futures), (BrokenPipeError,))
    >>> pending.done(), pending.result(), pending.times
    (True, 3, 1)
    """

    submit: Callable[[], Pending]
    lost: tuple[type[BaseException], ...]
    times: int = field(default=0, init=False)
    _pending: Pending = field(init=False, repr=False)
    _settled: bool = field(default=False, init=False, repr=False)
    _due: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._pending = self.submit()

    def done(self) -> bool:
        """Whether there is a result or a failure; what was lost is submitted again instead."""
        while not self._settled and self._pending.done():
            if self.times == MOST or (error := self._loss()) is None:
                self._settled = True
                break
            due = self._due
            if due is None:
                due = self._due = time.monotonic() + PAUSE * (2**self.times - 1)
                LOG.warning(
                    "what was made elsewhere was lost with its process or machine (%s); it is submitted again, %s of "
                    "at most %s times, and goes on where it was",
                    type(error).__name__, self.times + 1, MOST,
                )  # fmt: skip
            if time.monotonic() < due:
                return False
            self.times, self._due = self.times + 1, None
            self._pending = self.submit()
        return self._settled and self._pending.done()

    def result(self) -> Any:
        """The result; raises what the call raised, and what the engine says of a loss after the last attempt."""
        return self._pending.result()

    def cancel(self) -> None:
        """Call it off; nothing is submitted again from here on."""
        self._settled = True
        self._pending.cancel()

    def _loss(self) -> BaseException | None:
        try:
            self._pending.result()
        except self.lost as error:
            return error
        except Exception:  # noqa: BLE001 - a failure of the call itself, which whoever waits for it is told
            return None
        return None
