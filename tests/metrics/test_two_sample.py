import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from obliviate._util.seeds import derive
from obliviate.errors import DataError
from obliviate.metrics.two_sample import classifier_two_sample


def test_p_values_are_uniform_where_both_sides_come_from_one_distribution():
    rng = np.random.default_rng(0)
    trials = 50
    p_values = [
        classifier_two_sample(
            rng.normal(size=(24, 4)), rng.normal(size=(40, 4)), folds=2, permutations=4, seed=trial
        ).p_value
        for trial in range(trials)
    ]
    for level in (0.2, 0.6):
        rejected = sum(p <= level + 1e-9 for p in p_values)
        assert binom.ppf(1e-3, trials, level) <= rejected <= binom.ppf(1 - 1e-3, trials, level)


def test_shifted_samples_are_told_apart():
    rng = np.random.default_rng(1)
    unseen = rng.normal(size=(200, 6))
    result = classifier_two_sample(rng.normal(size=(100, 6)) + 0.8 * np.eye(6)[0], unseen, permutations=19)
    assert result.p_value == 1 / 20
    assert 0.5 < result.auc.low < norm.cdf(0.8 / 2**0.5) < result.auc.high
    assert 0.5 < result.accuracy.low < norm.cdf(0.4) < result.accuracy.high


def test_difference_in_spread_shows_in_squares_only():
    rng = np.random.default_rng(2)
    forget, unseen = 2 * rng.normal(size=(150, 2)), rng.normal(size=(150, 2))
    assert classifier_two_sample(forget, unseen, permutations=19).auc.value < 0.6
    assert classifier_two_sample(forget**2, unseen**2, permutations=19).auc.low > 0.6


def test_auc_is_that_of_discriminants_that_did_not_see_the_sample():
    rng = np.random.default_rng(3)
    forget, unseen = rng.normal(0.5, 1, (12, 2)), rng.normal(0, 1, (12, 2))
    # As many folds as samples a side / 2: the mean over all ways to hold out pairs is close to that over the folds.
    result = classifier_two_sample(forget, unseen, folds=6, permutations=1)
    x, y = np.concatenate([forget, unseen]), np.arange(24) < 12
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    values = []
    for _ in range(60):
        out = np.isin(np.arange(24), np.concatenate([rng.choice(12, 2, False), 12 + rng.choice(12, 2, False)]))
        scores = LinearDiscriminantAnalysis().fit(x[~out], y[~out]).decision_function(x[out])
        values.append(roc_auc_score(y[out], scores))
    assert result.auc.value == pytest.approx(np.mean(values), abs=0.1)
    assert result.auc.value < roc_auc_score(y, LinearDiscriminantAnalysis().fit(x, y).decision_function(x))


def test_the_discriminant_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    forget, unseen = rng.normal(0.6, 1, (50, 3)) @ rng.normal(size=(3, 3)), rng.normal(size=(50, 3))
    result = classifier_two_sample(forget, unseen, folds=2, permutations=1)
    x, y = np.concatenate([forget, unseen]), np.arange(100) < 50
    fold = _folds(seed=0)
    scores = np.empty(100)
    for k in range(2):
        peer = LinearDiscriminantAnalysis(solver="lsqr").fit(x[fold != k], y[fold != k])
        scores[fold == k] = peer.decision_function(x[fold == k])
    values = [roc_auc_score(y[fold == k], scores[fold == k]) for k in range(2)]
    assert result.auc.value == pytest.approx(np.mean(values), abs=1e-9)


def _folds(*, seed: int) -> np.ndarray:
    """The halves of 50 and 50 samples that the test draws."""
    rng = np.random.default_rng(derive(seed, "classifier_two_sample"))
    return np.concatenate([rng.permutation(50) % 2 for _ in range(2)])


def test_interval_covers_the_auc_of_a_single_feature():
    rng = np.random.default_rng(4)
    trials, truth = 60, norm.cdf(0.7 / 2**0.5)
    covered = 0
    for trial in range(trials):
        forget, unseen = rng.normal(0.7, 1, (60, 1)), rng.normal(0, 1, (80, 1))
        result = classifier_two_sample(forget, unseen, folds=2, permutations=1, seed=trial, confidence=0.9)
        covered += result.auc.low <= truth <= result.auc.high
    assert binom.ppf(1e-3, trials, 0.88) <= covered <= binom.ppf(1 - 1e-3, trials, 0.92)


def test_result_is_a_function_of_the_seed_and_not_of_units():
    rng = np.random.default_rng(5)
    forget, unseen = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    unseen[:, 2] = forget[:, 2] = 1.0
    first = classifier_two_sample(forget, unseen, permutations=9)
    assert first == classifier_two_sample(forget, unseen, permutations=9)
    again = classifier_two_sample(1000 * forget + 7, 1000 * unseen + 7, permutations=9)
    assert again.auc.value == pytest.approx(first.auc.value)
    assert first != classifier_two_sample(forget, unseen, permutations=9, seed=1)


@pytest.mark.usefixtures("unchecked")
def test_unusable_features_are_refused():
    good = np.zeros((12, 2))
    with pytest.raises(DataError, match=r"^expected "):
        classifier_two_sample(good, np.zeros((12, 3)))
    with pytest.raises(DataError, match="fewer folds or more samples"):
        classifier_two_sample(good[:9], good)
    with pytest.raises(DataError, match="permutations >= 1"):
        classifier_two_sample(good, good, permutations=0)
    with pytest.raises(DataError, match="finite features"):
        classifier_two_sample(good, np.full((12, 2), np.nan))
