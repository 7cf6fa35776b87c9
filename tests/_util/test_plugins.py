"""Registries: what keeps the contract is added, what does not is refused and leaves nothing."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from obliviate._util.plugins import Registry
from obliviate.errors import AuditError

REGISTRY = Registry(
    kind="attack",
    group="obliviate.no_such_group",
    attributes=("name", "needs"),
    needs=frozenset({"references"}),
    page="docs/attacks.md",
    error=AuditError,
)


@dataclass(frozen=True)
class Good:
    name: ClassVar[str] = "good"
    needs: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class SameName(Good):
    pass


@dataclass(frozen=True)
class Needy(Good):
    needs: ClassVar[frozenset[str]] = frozenset({"gold"})


class Bare:
    needs: ClassVar[frozenset[str]] = frozenset()


def register(registered: dict[str, type[Any]], cls: type[Any]) -> None:
    REGISTRY.check(cls)
    REGISTRY.add(registered, cls)


def test_built_in_classes_are_known_by_their_names_and_one_may_come_twice() -> None:
    assert REGISTRY.all_of((Good, Good), register) == {"good": Good}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            (Bare,),
            "expected an attack with a class attribute `name` and a frozen dataclass, got Bare without",
        ),
        ((Needy,), r"expected needs of \['references'\], got \['gold'\] in Needy"),
        ((Good, SameName), "expected a new attack name, got 'good' twice; rename SameName"),
    ],
)
def test_what_does_not_keep_the_contract_is_refused(classes: tuple[type[Any], ...], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        REGISTRY.all_of(classes, register)
