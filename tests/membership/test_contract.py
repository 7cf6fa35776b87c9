"""Every attack keeps the contract, and the registry refuses what does not."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from obliviate import membership
from obliviate._util import plugins
from obliviate.audit.inputs import AuditSettings
from obliviate.errors import AuditError
from obliviate.membership.base import Attack, Scores, Signal, Target, Use
from obliviate.membership.checks import CHECKS, Check

ATTACKS: list[Attack] = [
    *(cls() for cls in membership.BUILT_IN),
    membership.RMIA(form="taylor"),
    membership.RMIA(temperature=1.0),
    membership.LiRA(variance="shrunk"),
    membership.RMIAOffline(a=0.5),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_every_attack_keeps_the_contract(attack: Attack, check: Check) -> None:
    check(attack)


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


class Inverted(membership.Correctness):
    """Higher for samples that the model gets wrong."""

    def __call__(self, target: Target) -> Scores:
        return -target.outputs.correct


@pytest.mark.parametrize("attack", [Guess(), Inverted()], ids=lambda attack: type(attack).__name__)
def test_an_attack_that_finds_nothing_fails_the_checks(attack: Attack) -> None:
    finds = next(check for check in CHECKS if check.__name__ == "finds_a_model_that_remembers")
    with pytest.raises(AssertionError, match="on a model that remembers"):
        finds(attack)


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


def test_an_attack_of_another_package_is_found_and_changes_no_audit_that_does_not_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = AuditSettings()
    install(monkeypatch, Guess)
    assert list(membership.registry()) == [*(cls.name for cls in membership.BUILT_IN), "guess"]
    assert membership.find("guess") is Guess
    assert AuditSettings() == usual


def test_an_unknown_attack_is_refused_with_the_known_names() -> None:
    with pytest.raises(AuditError, match=r"expected an attack of rmia, .*asr, got 'oracle'; see"):
        membership.find("oracle")


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


def test_an_audit_needs_an_attack_that_verdicts_rest_on_and_each_once() -> None:
    with pytest.raises(AuditError, match=r"expected first an attack that needs references .*, got none"):
        AuditSettings(attacks=(Guess(),))
    with pytest.raises(AuditError, match="expected attacks with distinct names"):
        AuditSettings(attacks=(membership.RMIA(), membership.RMIA(gamma=1.0)))
