"""The registry of attacks."""

import pytest

from guessing_attack import Guess, install
from obliviate import membership
from obliviate.audit.inputs import AuditSettings
from obliviate.errors import AuditError


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
