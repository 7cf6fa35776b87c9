import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from obliviate.errors import DataError
from obliviate.metrics.forgetting import tpr_at
from obliviate.metrics.intervals import clopper_pearson
from obliviate.metrics.rates import coin_flip_power, coin_flip_test, coin_guesses, holm, tpr_at_fpr


def test_rates_come_from_samples_that_did_not_set_the_threshold():
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 300), rng.normal(0, 1, 500)
    rate = tpr_at_fpr(members, others, 0.1)
    assert rate.threshold is not None
    assert rate.tpr == clopper_pearson(int((members > rate.threshold).sum()), 300)
    assert rate.realised_fpr is not None
    above = others > rate.threshold
    # 25.1 of the calibration half, rounded down, less the one that a fresh sample may tie with.
    assert round(250 * rate.realised_fpr.value) == above.sum() - 24


def test_realised_fpr_keeps_to_its_limit_on_average_and_tpr_is_not_flattered():
    rng = np.random.default_rng(1)
    trials, realised, tpr, flattered = 400, [], [], []
    for trial in range(trials):
        members, others = rng.normal(0, 1, 100), rng.normal(0, 1, 100)
        rate = tpr_at_fpr(members, others, 0.1, seed=trial)
        assert rate.tpr is not None
        assert rate.realised_fpr is not None
        realised.append(rate.realised_fpr.value)
        tpr.append(rate.tpr.value)
        flattered.append(tpr_at(members, others, np.array([0.1]))[0])
    # Exactly 5 / 51 for 50 calibration scores.
    for rates in (realised, tpr):
        assert np.mean(rates) == pytest.approx(5 / 51, abs=4 * np.std(rates) / trials**0.5)
    assert np.mean(flattered) > 0.1


def test_rate_is_not_resolvable_below_ten_expected_false_positives():
    scores = np.arange(2000.0)
    few = tpr_at_fpr(scores, scores[:999], 0.01)
    assert (few.resolvable, few.tpr, few.realised_fpr, few.threshold, few.negatives_needed) == (
        False,
        None,
        None,
        None,
        1000,
    )
    assert tpr_at_fpr(scores, scores[:1000], 0.01).resolvable
    assert tpr_at_fpr(scores, scores[:100], 0.1).resolvable


def test_split_of_the_non_members_is_a_function_of_the_seed():
    rng = np.random.default_rng(2)
    members, others = rng.normal(0, 1, 100), rng.normal(0, 1, 200)
    assert tpr_at_fpr(members, others, 0.1, seed=3) == tpr_at_fpr(members, others, 0.1, seed=3)
    assert len({tpr_at_fpr(members, others, 0.1, seed=seed).threshold for seed in range(5)}) > 1


def test_ties_at_the_threshold_do_not_count_as_positive():
    rate = tpr_at_fpr(np.zeros(40), np.zeros(100), 0.2)
    assert rate.tpr is not None
    assert rate.tpr.value == 0


@pytest.mark.parametrize(("correct", "trials"), [(0, 5), (31, 50), (527, 1000), (1000, 1000)])
def test_coin_flip_test_equals_scipy(correct: int, trials: int):
    expected = binomtest(correct, trials, 0.5, alternative="greater")
    result = coin_flip_test(correct, trials)
    assert result.p_value == pytest.approx(expected.pvalue)
    interval = binomtest(correct, trials, 0.5).proportion_ci(0.95, method="exact")
    assert (result.accuracy.low, result.accuracy.high) == pytest.approx((interval.low, interval.high))


def test_thousand_coins_have_93_percent_power_at_55_percent():
    assert coin_flip_power(1000, 0.55) == pytest.approx(0.93, abs=0.005)


@pytest.mark.parametrize(("trials", "accuracy", "level"), [(7, 0.8, 0.05), (60, 0.6, 0.01), (3, 1.0, 0.05)])
def test_power_sums_the_probabilities_of_what_the_test_rejects(trials: int, accuracy: float, level: float):
    expected = sum(
        binom.pmf(k, trials, accuracy) for k in range(trials + 1) if coin_flip_test(k, trials).p_value <= level
    )
    assert coin_flip_power(trials, accuracy, level=level) == pytest.approx(expected, abs=1e-12)
    assert coin_flip_power(trials, 0.5, level=level) <= level


def test_guesses_from_scores_find_coins_only_where_the_model_kept_them():
    rng = np.random.default_rng(3)
    coins = rng.random(2000) < 0.5
    for shift, low, high in ((0.0, 0.001, 1.0), (0.5, 0.0, 1e-6)):
        guesses = coin_guesses(rng.normal(0, 1, 2000) + shift * coins)
        assert guesses.sum() == 1000
        result = coin_flip_test(int((guesses == coins).sum()), 2000)
        assert low <= result.p_value <= high
    # Guessing at the midpoint of two unit normals is right with probability Phi(shift / 2).
    assert result.accuracy.low <= norm.cdf(0.25) <= result.accuracy.high


def test_holm_multiplies_by_the_number_of_hypotheses_left():
    p = np.array([0.04, 0.005, 0.03, 0.9])
    assert holm(p).tolist() == pytest.approx([0.09, 0.02, 0.09, 0.9])
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]


def test_holm_rejects_a_true_hypothesis_no_more_often_than_its_level():
    rng = np.random.default_rng(4)
    p = rng.random((2000, 5))
    p[:, 0] = 1e-9
    wrong = np.array([(holm(row)[1:] <= 0.05).any() for row in p])
    assert binom.ppf(1e-3, 2000, 0.045) <= wrong.sum() <= binom.ppf(1 - 1e-3, 2000, 0.05)


def test_unusable_scores_and_counts_are_refused():
    scores = np.arange(5.0)
    with pytest.raises(DataError, match="fpr in"):
        tpr_at_fpr(scores, scores, 1.0)
    with pytest.raises(DataError, match="non-member scores"):
        tpr_at_fpr(scores, scores[:1], 0.5)
    with pytest.raises(DataError, match="without NaN"):
        tpr_at_fpr(scores, np.array([np.nan, 1.0]), 0.5)
    with pytest.raises(DataError, match="successes"):
        coin_flip_test(6, 5)
    with pytest.raises(DataError, match="trials >= 1"):
        coin_flip_power(0, 0.5)
    with pytest.raises(DataError, match="at least 1 score"):
        coin_guesses(np.array([]))
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        holm(np.array([0.5, np.nan]))
