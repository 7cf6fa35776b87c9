"""What is asked of an executor: what `concurrent.futures` gives is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Pending(Protocol):
    """A result to come, as `concurrent.futures.Future` is."""

    def done(self) -> bool: ...

    def result(self) -> object: ...

    def cancel(self) -> object: ...


@runtime_checkable
class Executor(Protocol):
    """Whoever runs a function somewhere, as `concurrent.futures.Executor` does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Pending: ...
