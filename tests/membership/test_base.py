"""What the registry refuses."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from guessing_attack import Guess, install
from obliviate import membership
from obliviate.errors import AuditError
from obliviate.membership.base import Use


@dataclass
class Open:
    """Not frozen, and without a source."""

    name = title = "open"
    needs = frozenset()
    use = "figure"
    signals = ()


class Greedy(Guess):
    """Needs what nobody gives."""

    name: ClassVar[str] = "greedy"
    needs: ClassVar[frozenset[str]] = frozenset({"weights"})


class Dear(Guess):
    """A cheap attack that needs references."""

    name: ClassVar[str] = "dear"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})
    use: ClassVar[Use] = "cheap"


class Impostor(Guess):
    """Has the name of a built-in attack."""

    name: ClassVar[str] = "rmia"


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Open, "expected an attack with a class attribute `source` and a frozen dataclass, got Open without"),
        (Greedy, r"expected needs of .*'references'.*, got \['weights'\] in Greedy"),
        (Dear, "and a cheap attack to need no other models, got 'cheap' in Dear"),
        (Impostor, "expected a new attack name, got 'rmia' twice; rename Impostor"),
    ],
)
def test_a_class_that_breaks_the_contract_is_refused(
    cls: type[Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, cls)
    with pytest.raises(AuditError, match=message):
        membership.registry()
