"""What a check is, and how it says that a method breaks the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from obliviate.errors import ObliviateError
from obliviate.testing.bench import Bench

Check = Callable[[Any, Bench, Path], None]
"""Called with a method, a bench and an empty folder; raises ContractError where the method breaks the contract."""


class ContractError(ObliviateError, AssertionError):
    """A method breaks the contract."""


def expect(condition: bool, method: Any, wanted: str, got: str) -> None:
    """Raise ContractError, which names the method, unless the condition holds."""
    if not condition:
        raise ContractError(f"expected {wanted} of {method.name}, got {got}; see docs/methods/README.md")
