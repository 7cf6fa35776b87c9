"""How the models of a pool are interrupted, and an executor of one's own."""

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from obliviate.training.run import Run


@dataclass
class AtOnce:
    """It has `submit`, and does everything in it, from what another process would read."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        self.calls.append(args)
        made = pickle.loads(pickle.dumps((fn, args)))
        future: Future[Any] = Future()
        try:
            future.set_result(made[0](*made[1]))
        except BaseException as error:  # noqa: BLE001 - as the executors of the standard library do
            future.set_exception(error)
        return future


@pytest.fixture
def at_once() -> AtOnce:
    return AtOnce()


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Interrupt the epoch of this number, of runs that save their state after each; the list counts the epochs."""

    def interrupt(number: int) -> list[int]:
        fit, init, begun = Run.fit, Run.__init__, [0]

        def counting(self: Run, *arguments: Any, **options: Any) -> float:
            begun[0] += 1
            if begun[0] == number:
                raise KeyboardInterrupt
            return fit(self, *arguments, **options)

        def saving(self: Run, *arguments: Any, **options: Any) -> None:
            init(self, *arguments, **options | {"save_every": 0.0})

        monkeypatch.setattr(Run, "__init__", saving)
        monkeypatch.setattr(Run, "fit", counting)
        return begun

    return interrupt
