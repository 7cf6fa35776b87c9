import math

import numpy as np
import pytest
from scipy.stats import norm, t

from obliviate.audit.verdict import ACCEPTANCE, Evidence, Margins, Usefulness, judge, together
from obliviate.errors import DataError

SAME = Usefulness()
RUINED = Usefulness(lost="The accuracy is lost.")
UNSHOWN = Usefulness(unshown="it is not shown to be as useful as they are")
ERROR = 0.01  # resolves 3.6 points alone


def measured(value: float, error: float = ERROR, attack: str = "rmia", df: float = math.inf) -> Evidence:
    return Evidence(attack=attack, value=value, error=error, null_error=error, df=df)


@pytest.mark.parametrize(
    ("values", "utility", "verdict"),
    [
        ([0.0], SAME, "consistent with retraining"),
        ([0.015], SAME, "consistent with retraining"),
        ([-0.015], SAME, "consistent with retraining"),
        ([0.2], SAME, "leaks"),
        ([0.03], SAME, "leaks"),
        ([-0.2], SAME, "over-unlearned"),
        ([0.0, 0.2], SAME, "leaks"),
        ([0.0, -0.2], SAME, "over-unlearned"),
        ([-0.2, 0.2], SAME, "leaks"),
        ([0.0], RUINED, "utility lost"),
        ([0.2], RUINED, "utility lost"),
        ([0.0], UNSHOWN, "not resolvable with these data"),
        ([0.2], UNSHOWN, "leaks"),
        ([-0.2], UNSHOWN, "over-unlearned"),
    ],
)
def test_verdict_follows_its_rules_in_order(values: list[float], utility: Usefulness, verdict: str):
    assert judge([measured(value) for value in values], utility, Margins()).verdict == verdict


def test_few_samples_neither_acquit_nor_convict():
    judged = judge([measured(0.0, error=0.05)], SAME, Margins())
    assert judged.verdict == "not resolvable with these data"
    assert judged.resolution == pytest.approx(0.05 * (norm.ppf(0.95) + norm.ppf(0.975)))
    assert "finer than 18.0 points" in judged.reason
    assert judge([measured(0.3, error=0.05)], SAME, Margins()).verdict == "leaks"


@pytest.mark.parametrize(
    ("values", "utility", "verdict"),
    [
        ([0.0], SAME, "not resolvable with these data"),
        ([-0.2], SAME, "not resolvable with these data"),
        ([0.2], SAME, "leaks"),
        ([-0.2, 0.2], SAME, "leaks"),
        ([0.0], RUINED, "utility lost"),
    ],
)
def test_a_baseline_that_lies_too_high_convicts_and_does_not_acquit(
    values: list[float], utility: Usefulness, verdict: str
):
    judged = judge([measured(value) for value in values], utility, Margins(), one_sided=True)
    assert judged.verdict == verdict
    assert ("Retrain two models or more" in judged.reason) == (verdict == "not resolvable with these data")


@pytest.mark.parametrize("value", [-0.2, 0.0, 0.2])
def test_a_baseline_of_another_kind_neither_convicts_nor_acquits(value: float):
    judged = judge([measured(value)], SAME, Margins(), unlike=True)
    assert judged.verdict == "not resolvable with these data"
    assert "samples are of two kinds" in judged.reason
    assert judge([measured(value)], RUINED, Margins(), unlike=True).verdict == "utility lost"


def test_a_preset_margin_is_kept_and_needs_data_that_resolve_it():
    assert judge([measured(0.02)], SAME, Margins(preset=0.05)).verdict == "consistent with retraining"
    assert judge([measured(0.02)], SAME, Margins(preset=0.05)).margin == 0.05
    assert judge([measured(-0.03)], SAME, Margins(preset=0.05)).verdict == "consistent with retraining"
    assert judge([measured(0.0)], SAME, Margins(preset=0.03)).verdict == "not resolvable with these data"
    assert judge([measured(0.0, error=0.04)], SAME, Margins(preset=0.2)).verdict == "consistent with retraining"


def test_the_margin_is_no_less_than_the_least_however_many_the_samples():
    assert judge([measured(0.0, error=1e-4)], SAME, Margins()).margin == 0.02
    assert judge([measured(1e-4, error=1e-4)], SAME, Margins()).verdict == "consistent with retraining"
    assert judge([measured(-0.015, error=1e-4)], SAME, Margins()).verdict == "consistent with retraining"


def test_a_margin_excuses_what_may_be_chance_and_not_what_is_certain():
    assert judge([measured(0.02)], SAME, Margins(preset=0.05)).verdict == "consistent with retraining"  # p = 0.023
    assert judge([measured(0.03)], SAME, Margins(preset=0.05)).verdict == "leaks"  # p = 0.001
    assert judge([measured(0.015, error=1e-4)], SAME, Margins()).verdict == "leaks"


def test_interval_and_p_values_are_those_of_the_t_distribution():
    figure = measured(0.02, error=0.01, df=3)
    low, high = t.interval(0.9, 3, loc=0.02, scale=0.01)
    assert (figure.interval().low, figure.interval().high) == (pytest.approx(low), pytest.approx(high))
    assert figure.p_above() == pytest.approx(t.sf(2, 3))
    assert figure.p_below() == pytest.approx(t.cdf(2, 3))


def test_without_error_a_difference_is_certain_and_none_is_none():
    assert measured(0.1, error=0.0).p_above() == 0
    assert measured(-0.1, error=0.0).p_above() == 1
    assert measured(0.0, error=0.0).p_above() == 0.5


def test_at_the_resolution_a_retrain_passes_as_often_as_said():
    figure = measured(0.0)
    margin = figure.resolution()
    half = norm.ppf(0.95) * ERROR
    passes = norm.cdf((margin - half) / ERROR) - norm.cdf((half - margin) / ERROR)
    assert passes == pytest.approx(ACCEPTANCE)


def test_more_attacks_ask_for_a_stronger_leak_and_a_wider_margin():
    weak = 1.8 * ERROR  # p = 0.036 alone
    alone = [measured(weak, error=ERROR)]
    assert judge(alone, SAME, Margins(preset=0.001)).verdict == "leaks"
    among = [*alone, measured(0.0, attack="lira"), measured(0.0, attack="correctness")]
    assert judge(among, SAME, Margins(preset=0.001)).verdict == "not resolvable with these data"
    assert judge(among, SAME, Margins()).resolution > judge(alone, SAME, Margins()).resolution


def test_an_attack_that_resolves_little_does_not_excuse_what_another_finds():
    sharp, blunt = measured(0.035), measured(0.0, error=0.02, attack="ulira")
    assert blunt.within(blunt.resolution(2))
    judged = judge([sharp, blunt], SAME, Margins())
    assert judged.verdict == "leaks"
    assert judge([measured(0.0), blunt], SAME, Margins()).margin == pytest.approx(blunt.resolution(2))


def test_reason_names_the_attack_the_figures_and_the_margin():
    reason = judge([measured(0.0), measured(0.12, attack="lira")], SAME, Margins()).reason
    assert "FT-AUC of lira is +12.0 points (90 % interval +10.4 to +13.6) from the retrained models" in reason
    reason = judge([measured(0.0)], SAME, Margins(), baseline="references").reason
    assert "No attack (rmia) tells it from references at margin 3.6 points" in reason
    assert judge([measured(0.0)], RUINED, Margins()).reason == "The accuracy is lost."
    reason = judge([measured(0.0)], UNSHOWN, Margins()).reason
    assert reason == ("No attack tells it from the retrained models, but it is not shown to be as useful as they are.")


def test_a_verdict_needs_evidence():
    with pytest.raises(DataError, match="at least 1 attack"):
        judge([], SAME, Margins())


def test_nobody_is_acquitted_where_the_controls_failed():
    judged = judge([measured(0.0)], SAME, Margins(), uncontrolled="the control failed: retrain 1 was judged “leaks”")
    assert judged.verdict == "not resolvable with these data"
    assert "but the control failed: retrain 1 was judged “leaks”." in judged.reason
    assert judge([measured(0.2)], SAME, Margins(), uncontrolled="the control failed").verdict == "leaks"
    assert judge([measured(0.0)], RUINED, Margins(), uncontrolled="the control failed").verdict == "utility lost"


def test_a_certain_difference_is_a_leak_whatever_the_resolution():
    coarse = measured(0.275, error=0.13)  # its 90 % interval lies wholly above 0: 57 % of the photos, retrained none
    assert coarse.interval().low > 0.05
    rng = np.random.default_rng(0)
    shared = rng.normal(size=200)
    named = ("rmia", "lira", "correctness")
    together_ = [
        Evidence(
            attack=name, value=0.1 if name != "correctness" else 0.275, error=0.13, null_error=0.13, df=math.inf,
            influences=(shared + 0.3 * rng.normal(size=200), shared + 0.3 * rng.normal(size=200)),
        )
        for name in named
    ]  # fmt: skip
    judged = judge(together_, SAME, Margins())
    assert judged.verdict == "leaks"
    assert "FT-AUC of correctness is +27.5 points" in judged.reason


def test_attacks_that_go_together_are_corrected_for_less_than_independent_ones():
    rng = np.random.default_rng(0)
    noise = [(rng.normal(size=300), rng.normal(size=500)) for _ in range(3)]

    def least(influences: list[tuple[np.ndarray, np.ndarray]]) -> float:
        evidence = [
            Evidence(attack=str(place), value=0.02, error=0.01, null_error=0.01, df=math.inf, influences=parts)
            for place, parts in enumerate(influences)
        ]
        return together(evidence)["above"][1]

    p_value = norm.sf(2)
    assert least([noise[0]] * 3) == pytest.approx(p_value, rel=0.2)
    assert least(noise) == pytest.approx(1 - (1 - p_value) ** 3, rel=0.1)
    other = (noise[0][0], noise[0][1][:100])  # on other samples: taken for independent
    assert least([noise[0], noise[0], other]) == pytest.approx(1 - (1 - p_value) ** 3)


def test_the_level_of_a_leak_may_be_stricter():
    weak, strong = 2.0 * ERROR, 2.5 * ERROR  # p = 0.023 and 0.006
    assert judge([measured(weak)], SAME, Margins(preset=0.001)).verdict == "leaks"
    assert judge([measured(weak)], SAME, Margins(preset=0.001), level=0.01).verdict != "leaks"
    assert judge([measured(strong)], SAME, Margins(), level=0.01).verdict == "leaks"
    assert judge([measured(strong)], SAME, Margins(), level=0.005).verdict != "leaks"


def test_nobody_is_acquitted_that_may_know_half_of_what_the_original_does():
    fine = judge([measured(0.0)], SAME, Margins(), ceilings={"rmia": 0.03})
    assert fine.verdict == "consistent with retraining"
    judged = judge([measured(0.015)], SAME, Margins(), ceilings={"rmia": 0.03})
    assert judged.verdict == "not resolvable with these data"
    assert "it may still know half of what the original does: FT-AUC of rmia is +1.5 points" in judged.reason
    assert "where half is 3.0" in judged.reason


def test_damage_is_told_beside_any_verdict():
    damaged = Usefulness(damage="accuracy on retained samples 48.0 instead of 98.5")
    assert judge([measured(0.2)], damaged, Margins()).damage == damaged.damage
    assert judge([measured(0.0)], damaged, Margins()).verdict == "consistent with retraining"
