"""Attacks in results.json."""

from obliviate.results.attacks import AttackOutcome
from written_results import HALF


def test_what_an_attack_by_shadows_cannot_say_is_none_and_not_left_out() -> None:
    outcome = AttackOutcome(ft=HALF).model_dump()
    assert (outcome["fr"], outcome["rt"], outcome["difference"], outcome["rates"]) == (None, None, None, ())
