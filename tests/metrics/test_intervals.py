import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from obliviate.errors import DataError
from obliviate.metrics.intervals import (
    Interval,
    auc,
    balanced_accuracy,
    clopper_pearson,
    delong,
    delong_difference,
    mean_difference,
    placements,
    tost,
)


def tied_scores(seed: int, p: int = 37, n: int = 53) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(2, 12, p).astype(float), rng.integers(0, 10, n).astype(float)


def kernel(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The textbook psi(x, y) of DeLong et al. (1988): 1 above, 1/2 tied, 0 below."""
    return (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)


def test_placements_equal_pairwise_comparison_with_ties():
    positive, negative = tied_scores(0)
    p, n = placements(positive, negative)
    np.testing.assert_allclose(p, kernel(positive, negative).mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(n, kernel(positive, negative).mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_auc_equals_sklearn(seed: int):
    positive, negative = tied_scores(seed)
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    assert auc(positive, negative) == pytest.approx(roc_auc_score(truth, np.concatenate([positive, negative])))


def test_auc_is_unchanged_by_monotone_maps_and_reflected_by_swapping_sides():
    positive, negative = tied_scores(1)
    assert auc(np.exp(positive), np.exp(negative)) == auc(positive, negative)
    assert auc(negative, positive) == pytest.approx(1 - auc(positive, negative))


def test_delong_interval_has_the_textbook_variance():
    positive, negative = tied_scores(2)
    psi = kernel(positive, negative)
    variance = np.cov(psi.mean(axis=1)) / len(positive) + np.cov(psi.mean(axis=0)) / len(negative)
    interval = delong(positive, negative, confidence=0.8)
    assert interval.value - interval.low == pytest.approx(norm.ppf(0.9) * np.sqrt(variance))
    assert interval.high - interval.value == pytest.approx(norm.ppf(0.9) * np.sqrt(variance))


def test_delong_difference_has_the_textbook_covariance_of_the_contrast():
    rng = np.random.default_rng(3)
    shared_p, shared_n = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
    models = [(shared_p + rng.normal(0, 0.5, 40), shared_n + rng.normal(0, 0.5, 60)) for _ in range(4)]
    psi = [kernel(*model) for model in models]
    s10 = np.cov([matrix.mean(axis=1) for matrix in psi])
    s01 = np.cov([matrix.mean(axis=0) for matrix in psi])
    contrast = np.array([1, -1 / 3, -1 / 3, -1 / 3])
    variance = contrast @ (s10 / 40 + s01 / 60) @ contrast
    aucs = np.array([matrix.mean() for matrix in psi])
    interval = delong_difference(models[0], models[1:])
    assert interval.value == pytest.approx(contrast @ aucs)
    assert interval.high - interval.value == pytest.approx(norm.ppf(0.95) * np.sqrt(variance))
    unpaired = sum(delong(*pair, confidence=0.9).high - delong(*pair, confidence=0.9).value for pair in models[:2])
    assert interval.high - interval.value < unpaired / 2, "pairing gains nothing although the samples are shared"


def test_delong_interval_covers_the_true_auc_at_its_nominal_rate():
    rng = np.random.default_rng(4)
    truth = norm.cdf(0.7 / np.sqrt(2))
    trials = 600
    intervals = [delong(rng.normal(0.7, 1, 90), rng.normal(0, 1, 70)) for _ in range(trials)]
    covered = sum(interval.low <= truth <= interval.high for interval in intervals)
    assert binom.ppf(1e-3, trials, 0.94) <= covered <= binom.ppf(1 - 1e-3, trials, 0.96)


def test_delong_difference_covers_zero_for_exchangeable_models_at_its_nominal_rate():
    rng = np.random.default_rng(5)
    trials, covered = 500, 0
    for _ in range(trials):
        p, n = rng.normal(0.7, 1, 90), rng.normal(0, 1, 70)
        models = [(p + rng.normal(0, 1, 90), n + rng.normal(0, 1, 70)) for _ in range(3)]
        interval = delong_difference(models[0], models[1:])
        covered += interval.low <= 0 <= interval.high
    assert binom.ppf(1e-3, trials, 0.89) <= covered <= binom.ppf(1 - 1e-3, trials, 0.91)


def test_delong_interval_stays_within_the_range_of_an_auc():
    interval = delong(np.array([1.0, 3.0, 4.0]), np.array([0.0, 1.5, 0.5]))
    assert interval.high == 1.0
    assert interval.low < interval.value < 1


def test_mean_difference_uses_the_paired_variance():
    rng = np.random.default_rng(6)
    model, others = rng.integers(0, 2, 50), [rng.integers(0, 2, 50) for _ in range(3)]
    difference = model - np.mean(others, axis=0)
    interval = mean_difference(model, others)
    assert interval.value == pytest.approx(difference.mean())
    assert interval.high - interval.value == pytest.approx(norm.ppf(0.95) * difference.std(ddof=1) / np.sqrt(50))


@pytest.mark.parametrize(("successes", "trials"), [(0, 9), (3, 9), (9, 9), (120, 200)])
def test_clopper_pearson_limits_invert_the_binomial_tails(successes: int, trials: int):
    interval = clopper_pearson(successes, trials, confidence=0.9)
    assert interval.value == successes / trials
    if successes:
        assert binom.sf(successes - 1, trials, interval.low) == pytest.approx(0.05)
    else:
        assert interval.low == 0
    if successes < trials:
        assert binom.cdf(successes, trials, interval.high) == pytest.approx(0.05)
    else:
        assert interval.high == 1


@pytest.mark.parametrize(
    ("low", "high", "equivalent"),
    [(-0.04, 0.04, True), (-0.05, 0.04, False), (-0.04, 0.05, False), (0.01, 0.02, True), (0.06, 0.07, False)],
)
def test_tost_wants_the_interval_strictly_inside_the_margin(low: float, high: float, equivalent: bool):
    assert tost(Interval((low + high) / 2, low, high), 0.05) is equivalent


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    good, scores = np.array([1.0, 2.0]), (np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    with pytest.raises(DataError, match="NaN"):
        auc(np.array([1.0, np.nan]), good)
    with pytest.raises(DataError, match="non-empty"):
        auc(np.array([]), good)
    with pytest.raises(DataError, match="at least 2"):
        delong(np.array([1.0]), good)
    with pytest.raises(DataError, match="same samples"):
        delong_difference(scores, [(np.array([1.0, 2.0, 3.0]), scores[1])])
    with pytest.raises(DataError, match="at least 1 model"):
        delong_difference(scores, [])
    with pytest.raises(DataError, match=r"^expected "):
        mean_difference(good, [np.array([1.0])])
    with pytest.raises(DataError, match="successes"):
        clopper_pearson(3, 2)
    with pytest.raises(DataError, match="confidence"):
        delong(good, good, confidence=95.0)
    with pytest.raises(DataError, match="margin"):
        tost(Interval(0.0, 0.0, 0.0), 0.0)


def test_balanced_accuracy_equals_sklearn_and_counts_ties_half():
    rng = np.random.default_rng(5)
    members, others = rng.normal(0.5, 1, 40), rng.normal(0, 1, 130)
    truth = np.arange(170) < 40
    for threshold in (0.0, 0.3):
        guess = np.concatenate([members, others]) > threshold
        accuracy = balanced_accuracy(members, others, threshold=threshold)
        assert accuracy.value == pytest.approx(balanced_accuracy_score(truth, guess))
    assert balanced_accuracy(np.zeros(3), np.zeros(5)).value == 0.5


def test_interval_of_balanced_accuracy_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(6)
    truth = (norm.cdf(0.5) + 0.5) / 2
    intervals = [balanced_accuracy(rng.normal(0.5, 1, 150), rng.normal(0, 1, 400)) for _ in range(600)]
    assert np.mean([interval.low <= truth <= interval.high for interval in intervals]) == pytest.approx(0.95, abs=0.025)


def test_balanced_accuracy_of_too_few_or_nan_scores_is_refused():
    with pytest.raises(DataError, match="at least 2 scores on each side, got 1 and 3"):
        balanced_accuracy(np.zeros(1), np.zeros(3))
    with pytest.raises(DataError, match="member scores without NaN"):
        balanced_accuracy(np.array([np.nan, 1.0]), np.zeros(3))
