"""The attacks of an audit, fitted on its references."""

from obliviate.audit.attacks import FittedAttacks
from obliviate.audit.inputs import AuditSettings
from simulated_models import SIZE, World


def test_attacks_are_told_apart_by_what_they_are_for(world: World) -> None:
    attacks = FittedAttacks.of(AuditSettings(), world.samples, world.pool)
    assert attacks.lead == "rmia"
    assert attacks.decisive == ["rmia", "lira", "correctness"]
    assert attacks.rated == ["rmia", "lira"]  # correctness has two values alone
    assert [attack.name for attack in attacks.by_shadows] == ["ulira"]
    assert [attack.name for attack in attacks.on_all] == [*attacks.decisive, "rmia_offline", "lira_offline"]


def test_what_was_fitted_is_told_from_what_was_asked_for(world: World) -> None:
    described = {
        attack.name: attack for attack in FittedAttacks.of(AuditSettings(), world.samples, world.pool).described()
    }
    assert described["rmia_offline"].settings["a"] is None
    assert set(described["rmia_offline"].fitted) == {"a"}
    assert described["rmia"].fitted == {}


def test_what_models_say_that_never_saw_a_sample_is_one_number_a_signal(world: World) -> None:
    attacks = FittedAttacks.of(AuditSettings(), world.samples, world.pool)
    parts = len(world.samples.index)
    assert parts < SIZE
    assert [feature.shape for feature in attacks.unseen_features] == [(parts,), (parts,)]
