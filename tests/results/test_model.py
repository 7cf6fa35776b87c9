"""One model in results.json."""

import pytest
from pydantic import ValidationError

from obliviate.results.attacks import AttackOutcome, TestedDifference
from obliviate.results.model import RocCurve
from written_results import HALF, model


def test_a_curve_has_as_many_rates_of_one_kind_as_of_the_other() -> None:
    with pytest.raises(ValidationError, match="as many fpr as tpr, got 2 and 1"):
        RocCurve(fpr=(0.0, 1.0), tpr=(0.0,))


def test_differences_are_those_of_attacks_that_have_one() -> None:
    difference = TestedDifference(value=1.0, low=0.0, high=2.0, p_above=0.1, p_below=0.9, resolution=2.0)
    attacks = {"rmia": AttackOutcome(ft=HALF, difference=difference), "lira": AttackOutcome(ft=HALF)}
    assert model("m").model_copy(update={"attacks": attacks}).differences == {"rmia": difference}


@pytest.mark.parametrize(
    ("damage", "verdict", "named"),
    [("", "leaks", False), ("it fell", "leaks", True), ("it fell", "utility lost", False)],
)
def test_damage_is_told_beside_any_verdict_but_that_of_lost_utility(damage: str, verdict: str, named: bool) -> None:
    assert model("m").model_copy(update={"damage": damage, "verdict": verdict}).damaged is named
