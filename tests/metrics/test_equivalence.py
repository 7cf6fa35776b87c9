import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.stats import binom, kstest, norm
from scipy.stats import t as student

from obliviate.errors import DataError
from obliviate.metrics.equivalence import (
    Difference,
    Yardstick,
    against_retrained,
    delong_covariance,
    difference,
    mean_covariance,
    resolvable_margin,
)
from obliviate.metrics.intervals import auc, delong_difference, mean_difference, tost


def simulated(
    rng: np.random.Generator, models: int, *, between: float, sampling: float, shared: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Figures of exchangeable models, and their sampling covariance: scored on samples that they share in part."""
    covariance = np.full((models, models), shared**2) + sampling**2 * np.eye(models)
    values = rng.normal(0, between, models) + rng.normal(0, sampling, models) + rng.normal(0, shared)
    return values, covariance


def covers(differences: list[Difference], truth: float = 0.0) -> int:
    intervals = [one.interval() for one in differences]
    return sum(one.low <= truth <= one.high for one in intervals)


def test_between_variance_is_the_observed_variance_less_the_sampling_variance():
    values, variances = np.array([1.0, 3.0, 8.0]), np.array([1.0, 2.0, 6.0])
    yardstick = Yardstick.of(values, variances)
    assert yardstick.mean == 4
    assert yardstick.sampling_variance == 3
    assert yardstick.between_variance == pytest.approx(13 - 3)
    shared = Yardstick.of(values, np.diag(variances) + 0.5)
    assert shared.between_variance == pytest.approx(10), "noise that all models share says nothing of their spread"


def test_between_variance_is_estimated_without_bias_and_never_below_0():
    rng = np.random.default_rng(0)
    found = [Yardstick.of(*simulated(rng, 4, between=0.5, sampling=1.0, shared=2.0)) for _ in range(2000)]
    moments = np.array([one.moment for one in found])
    assert moments.mean() == pytest.approx(0.25, abs=4 * moments.std() / 2000**0.5)
    assert moments.min() < 0 == min(one.between_variance for one in found)


@pytest.mark.parametrize("retrained", [2, 3, 5, 16])
def test_p_values_of_true_retrains_are_uniform(retrained: int):
    rng = np.random.default_rng(retrained)
    found, sampling_only = [], []
    for _ in range(700):
        values, covariance = simulated(rng, retrained + 1, between=1.0, sampling=0.05, shared=0.5)
        one = against_retrained(values, covariance)
        found.append(one.p_value())
        sampling_only.append(2 * norm.sf(abs(one.value) / (0.05 * (1 + 1 / retrained) ** 0.5)))
    # 1.95 / sqrt(700) is the 0.1 % point of the Kolmogorov-Smirnov distance.
    assert kstest(found, "uniform").statistic < 1.95 / 700**0.5
    assert kstest(sampling_only, "uniform").statistic > 0.5, "the check cannot see a missing between-model variance"


@pytest.mark.parametrize("retrained", [2, 3])
def test_normal_quantiles_for_few_retrained_models_fail_the_check_of_uniformity(retrained: int):
    rng = np.random.default_rng(retrained)
    found = [against_retrained(*simulated(rng, retrained + 1, between=1.0, sampling=0.05)) for _ in range(700)]
    assert kstest([2 * norm.sf(abs(one.value) / one.variance**0.5) for one in found], "uniform").statistic > 0.074


@pytest.mark.parametrize(("between", "sampling"), [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (3.0, 1.0)])
@pytest.mark.parametrize("retrained", [2, 3, 5])
def test_intervals_cover_at_least_at_their_rate_whatever_the_share_of_sampling(
    between: float, sampling: float, retrained: int
):
    rng = np.random.default_rng(10 * retrained + int(between))
    trials = 300
    found = [
        against_retrained(*simulated(rng, retrained + 1, between=between, sampling=sampling)) for _ in range(trials)
    ]
    assert covers(found) >= binom.ppf(1e-3, trials, 0.90)


def test_interval_is_never_narrower_than_the_exact_prediction_interval():
    rng = np.random.default_rng(20)
    for _ in range(50):
        values, covariance = simulated(rng, 4, between=0.5, sampling=1.0)
        found = against_retrained(values, covariance).interval()
        exact = student.ppf(0.95, 2) * np.std(values[1:], ddof=1) * (1 + 1 / 3) ** 0.5
        assert found.high - found.value >= exact * (1 - 1e-12)


def test_prediction_interval_of_students_t_is_reached_without_sampling_variance():
    values = np.array([7.0, 1.0, 2.0, 4.0])
    found = against_retrained(values, np.zeros((4, 4)))
    assert found.df == pytest.approx(2)
    half = student.ppf(0.95, 2) * np.std(values[1:], ddof=1) * (4 / 3) ** 0.5
    assert found.interval().high == pytest.approx(7 - 7 / 3 + half)


def test_many_models_without_spread_leave_the_paired_sampling_interval():
    rng = np.random.default_rng(21)
    positive, negative = rng.normal(0.5, 1, 300), rng.normal(0, 1, 400)
    scores = [(positive + rng.normal(0, 0.3, 300), negative + rng.normal(0, 0.3, 400)) for _ in range(41)]
    aucs = np.array([auc(*one) for one in scores])
    found = against_retrained(aucs, delong_covariance(scores))
    paired = delong_difference(scores[0], scores[1:])
    assert found.value == pytest.approx(paired.value)
    # The models differ in their noise only, which is part of the sampling variance.
    assert found.interval().high - found.value == pytest.approx(paired.high - paired.value, rel=0.1)


def test_interval_of_an_auc_covers_retrains_that_differ_by_seed_on_shared_samples():
    rng = np.random.default_rng(25)
    trials, found, paired = 300, [], 0
    for _ in range(trials):
        positive, negative = rng.normal(0, 1, 120), rng.normal(0, 1, 200)
        seeds = rng.normal(0, 0.25, 6)
        scores = [(positive + rng.normal(b, 0.5, 120), negative + rng.normal(0, 0.5, 200)) for b in seeds]
        found.append(against_retrained(np.array([auc(*one) for one in scores]), delong_covariance(scores)))
        fixed = delong_difference(scores[0], scores[1:])
        paired += fixed.low <= 0 <= fixed.high
    assert binom.ppf(1e-3, trials, 0.90) <= covers(found) <= binom.ppf(1 - 1e-3, trials, 0.93)
    assert paired < 0.7 * trials, "the paired interval, which takes models as given, would do"


def test_covariances_give_the_intervals_of_paired_differences():
    rng = np.random.default_rng(22)
    contrast = np.array([1, -0.5, -0.5])
    right = rng.integers(0, 2, (3, 80))
    paired = mean_difference(right[0], list(right[1:]))
    variance = contrast @ mean_covariance(right) @ contrast
    assert paired.high - paired.value == pytest.approx(norm.ppf(0.95) * variance**0.5)
    scores = [(rng.normal(1, 1, 30), rng.normal(0, 1, 50)) for _ in range(3)]
    variance = contrast @ delong_covariance(scores) @ contrast
    paired = delong_difference(scores[0], scores[1:])
    assert paired.high - paired.value == pytest.approx(norm.ppf(0.95) * variance**0.5)


def test_independent_samples_add_the_variance_of_the_mean():
    yardstick = Yardstick.of(np.array([1.0, 3.0, 8.0]), np.array([1.0, 2.0, 6.0]))
    found = difference(5.0, yardstick, variance=4.0)
    assert found.variance == pytest.approx(10 * (4 / 3) + 4 + 3 / 3)
    assert found == difference(5.0, yardstick, paired_variance=5.0)
    assert found.df == pytest.approx(2 * found.variance**2 / ((4 / 3) ** 2 * (2 * 13**2 / 2)))


def test_spread_of_the_pool_adds_degrees_of_freedom_not_its_mean():
    rng = np.random.default_rng(23)
    trials, differences, widths = 400, [], []
    for _ in range(trials):
        values, covariance = simulated(rng, 4, between=1.0, sampling=0.7)
        pool, own = simulated(rng, 16, between=1.0, sampling=0.4)
        alone = against_retrained(values, covariance)
        both = against_retrained(values, covariance, spread=[Yardstick.of(pool + 9, own)])
        assert both.value == alone.value
        differences.append(both)
        widths.append([one.interval().high - one.value for one in (alone, both)])
    covered = covers(differences)
    assert binom.ppf(1e-3, trials, 0.89) <= covered <= binom.ppf(1 - 1e-3, trials, 0.92)
    assert np.median(widths, axis=0) @ [1, -1.3] > 0, "16 more models gain less than a quarter of the width"


def test_a_true_retrain_is_accepted_at_the_resolvable_margin_as_often_as_promised():
    rng = np.random.default_rng(24)
    trials, accepted, smaller = 1000, 0, 0
    for _ in range(trials):
        values, covariance = simulated(rng, 6, between=1.0, sampling=0.1)
        margin = resolvable_margin(Yardstick.of(values[1:], covariance[1:, 1:]))
        interval = against_retrained(values, covariance).interval()
        accepted += tost(interval, margin)
        smaller += tost(interval, 0.75 * margin)
    assert binom.ppf(1e-3, trials, 0.95) <= accepted <= binom.ppf(1 - 1e-3, trials, 0.95)
    assert smaller < 0.9 * trials


def test_equivalence_and_its_p_value_agree_with_the_interval():
    found = Difference(0.3, 0.04, 5.0)
    interval = found.interval()
    for margin in (0.5, 0.7, interval.high - 1e-9, interval.high + 1e-9, 1.0):
        assert tost(interval, margin) is (found.equivalence_p(margin) < 0.05)
    assert found.p_value() == pytest.approx(2 * student.sf(1.5, 5))


def test_figures_that_do_not_vary_at_all_are_compared_exactly():
    found = against_retrained(np.array([0.5, 0.5, 0.5]), np.zeros((3, 3)))
    assert (found.p_value(), found.equivalence_p(0.1), found.interval().high) == (1.0, 0.0, 0.0)
    other = against_retrained(np.array([0.7, 0.5, 0.5]), np.zeros((3, 3)))
    assert (other.p_value(), other.equivalence_p(0.1)) == (0.0, 1.0)


def test_unusable_figures_are_refused():
    refused = (DataError, TypeCheckError)
    yardstick = Yardstick.of(np.array([0.4, 0.5]), np.zeros(2))
    with pytest.raises(DataError, match=">= 2 figures"):
        Yardstick.of(np.array([0.5]), np.zeros(1))
    with pytest.raises(DataError, match=">= 2 figures"):
        Yardstick.of(np.array([0.5, 0.4]), np.zeros(3))
    with pytest.raises(DataError, match="variances >= 0"):
        Yardstick.of(np.array([0.5, 0.4]), np.array([1.0, -1.0]))
    with pytest.raises(DataError, match="finite"):
        Yardstick.of(np.array([0.5, np.nan]), np.zeros(2))
    with pytest.raises(DataError, match="both or neither"):
        difference(0.5, yardstick)
    with pytest.raises(DataError, match="variance >= 0"):
        difference(0.5, yardstick, variance=-1.0)
    with pytest.raises(DataError, match="margin > 0"):
        Difference(0.0, 1.0, 1.0).equivalence_p(0.0)
    with pytest.raises(DataError, match="confidence or power"):
        resolvable_margin(yardstick, power=1.0)
    with pytest.raises(refused):
        against_retrained(np.zeros(3), np.zeros((2, 2)))
    with pytest.raises(DataError, match="same samples"):
        delong_covariance([(np.zeros(3), np.zeros(2)), (np.zeros(2), np.zeros(2))])
    with pytest.raises(DataError, match="n >= 2"):
        mean_covariance(np.zeros((2, 1)))
