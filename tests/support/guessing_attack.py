"""An attack that finds nothing, as another package may offer it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from obliviate._util import plugins
from obliviate.membership.base import Scores, Signal, Target, Use


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Call everybody a non-member."""

    name: ClassVar[str] = "guess"
    title: ClassVar[str] = "guess"
    source: ClassVar[str] = "none"
    needs: ClassVar[frozenset[str]] = frozenset()
    use: ClassVar[Use] = "figure"

    @property
    def signals(self) -> tuple[Signal, ...]:
        return ()

    def __call__(self, target: Target) -> Scores:
        return 0 * target.outputs.correct


class Point:
    """Stands for an installed package's entry point."""

    def __init__(self, cls: type[Any]) -> None:
        self.name, self.cls = cls.__name__, cls

    def load(self) -> type[Any]:
        return self.cls


def install(monkeypatch: pytest.MonkeyPatch, cls: type[Any]) -> None:
    def entry_points(*, group: str) -> list[Point]:
        assert group == "obliviate.attacks"
        return [Point(cls)]

    monkeypatch.setattr(plugins, "entry_points", entry_points)
