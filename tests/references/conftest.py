"""An executor of one's own."""

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class AtOnce:
    """It has `submit`, and does everything in it, from what another process would read."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        self.calls.append(args)
        received = pickle.loads(pickle.dumps((fn, args)))
        future: Future[Any] = Future()
        try:
            future.set_result(received[0](*received[1]))
        except BaseException as error:  # noqa: BLE001 - as the executors of the standard library do
            future.set_exception(error)
        return future


@pytest.fixture
def at_once() -> AtOnce:
    return AtOnce()
