"""Unlearning methods: one file each. The registry is this list, and what other packages offer."""

from __future__ import annotations

from typing import Any, Final

from obliviate.errors import MethodError
from obliviate.methods.amun import AMUN
from obliviate.methods.base import with_plugins
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.retrain import Retrain

BUILT_IN: Final[tuple[type[Any], ...]] = (Retrain, FineTune, GradientAscent, AMUN)


def registry() -> dict[str, type[Any]]:
    """Every method by name."""
    return with_plugins(BUILT_IN)


def find(name: str) -> type[Any]:
    """Return the method of this name; raises MethodError for an unknown one."""
    known = registry()
    if name not in known:
        raise MethodError(f"expected a method of {', '.join(known)}, got {name!r}; see `obliviate methods`")
    return known[name]
