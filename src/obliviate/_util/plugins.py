"""Registries of what others may add to: methods, attacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from obliviate.errors import ObliviateError


@dataclass(frozen=True)
class Registry:
    """The rules of one kind of plug-in: `kind` is its word, `group` its entry-point group, `page` teaches to write one.

    Every class is a frozen dataclass with these `attributes`; `error` is raised for one that is not.
    """

    kind: str
    group: str
    attributes: tuple[str, ...]
    needs: frozenset[str]
    page: str
    error: type[ObliviateError]

    def check(self, cls: type[Any]) -> None:
        """Refuse a class that does not keep the contract."""
        problems = [f"a class attribute `{name}`" for name in self.attributes if not hasattr(cls, name)]
        if not dataclasses.is_dataclass(cls) or not getattr(cls, "__dataclass_params__").frozen:  # noqa: B009
            problems.append("a frozen dataclass")
        if problems:
            raise self.error(
                f"expected {self._article} {self.kind} with {' and '.join(problems)}, got {cls.__name__} without; "
                f"see {self.page}, 'Write your own'"
            )
        if unknown := cls.needs - self.needs:
            raise self.error(
                f"expected needs of {sorted(self.needs)}, got {sorted(unknown)} in {cls.__name__}; correct them"
            )

    def add(self, registry: dict[str, type[Any]], cls: type[Any]) -> None:
        """Add one class under its name, which no other has."""
        if cls.name in registry and registry[cls.name] is not cls:
            raise self.error(f"expected a new {self.kind} name, got {cls.name!r} twice; rename {cls.__name__}")
        registry[cls.name] = cls

    def all_of(
        self, built_in: Sequence[type[Any]], register: Callable[[dict[str, type[Any]], type[Any]], None]
    ) -> dict[str, type[Any]]:
        """The built-in classes, then those that installed packages offer, each added by `register`."""
        registry: dict[str, type[Any]] = {}
        for cls in (*built_in, *self._offered()):
            register(registry, cls)
        return registry

    def _offered(self) -> Iterable[type[Any]]:
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            yield point.load()

    @property
    def _article(self) -> str:
        return "an" if self.kind[0] in "aeiou" else "a"
