import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

from obliviate.errors import DataError
from obliviate.membership import logistic
from obliviate.metrics.intervals import Interval, balanced_accuracy


def accuracy(features: np.ndarray, members: np.ndarray, **options: int) -> Interval:
    scores = logistic.scores(features, members, **options)
    return balanced_accuracy(scores[members], scores[~members])


def halves(members: int, others: int) -> np.ndarray:
    return np.arange(members + others) < members


# ------------------------------------------------------------------------------------------- the features


def test_loss_and_entropy_are_those_of_the_libraries():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (50, 4)), rng.integers(0, 4, 50)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert logistic.loss(logits, labels).mean() == pytest.approx(log_loss(labels, p, labels=range(4)))
    np.testing.assert_allclose(logistic.entropy(logits), scipy_entropy(p, axis=1))


def test_confident_float32_logits_give_small_finite_features():
    logits = np.array([[60.0, 0.0], [9e4, 0.0]], dtype=np.float32)
    assert logistic.loss(logits, np.array([0, 1]))[1] == pytest.approx(9e4)
    features = np.concatenate([logistic.loss(logits, np.array([0, 0])), logistic.entropy(logits)])
    assert np.isfinite(features).all()
    assert (features >= 0).all()


# ------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("sign", [1, -1])
def test_separated_samples_are_told_apart_whatever_the_direction_and_the_sizes(sign: int):
    rng = np.random.default_rng(1)
    members = halves(40, 200)
    features = sign * np.where(members, rng.uniform(0, 1, 240), rng.uniform(2, 3, 240))
    assert accuracy(features, members).value == 1


@pytest.mark.parametrize("seed", range(4))
def test_equal_distributions_give_chance(seed: int):
    members = halves(400, 1600)
    rate = accuracy(np.random.default_rng(seed).exponential(size=2000), members)
    assert rate.value == pytest.approx(0.5, abs=0.05)
    assert rate.low - 0.01 < 0.5 < rate.high + 0.01


def test_shifted_normal_distributions_give_the_accuracy_of_the_best_threshold():
    rng = np.random.default_rng(3)
    members = halves(4000, 8000)
    rate = accuracy(rng.normal(size=12000) + 1.0 * members, members)
    assert rate.value == pytest.approx(0.6915, abs=0.012)  # Φ(1/2), the threshold halfway between the means
    assert rate.low < 0.6915 < rate.high


def test_members_on_both_sides_are_missed_by_one_feature_and_found_with_its_square():
    rng = np.random.default_rng(4)
    members = halves(500, 500)
    x = np.where(members, rng.choice([-2.0, 2.0], 1000), 0.0) + rng.normal(0, 0.3, 1000)
    assert accuracy(x, members).value == pytest.approx(0.5, abs=0.06)
    assert accuracy(np.stack([x, x**2], axis=1), members).value > 0.99


# ------------------------------------------------------------------------------------------- how it is computed


def test_no_sample_is_scored_by_a_regression_fitted_to_it():
    """Noise of many columns can be learnt by heart: fitted to all it is told apart, cross-validated it is not."""
    rng = np.random.default_rng(5)
    features, members = rng.normal(size=(80, 60)), halves(40, 40)
    fitted = LogisticRegression(class_weight="balanced").fit(features, members).decision_function(features)
    assert balanced_accuracy(fitted[members], fitted[~members]).value > 0.95
    assert accuracy(features, members).value < 0.65


def test_scores_agree_with_cross_validation_by_the_library():
    rng = np.random.default_rng(6)
    members = halves(300, 300)
    features = rng.normal(size=600) + members
    expected = np.asarray(
        cross_val_predict(LogisticRegression(), features[:, None], members, cv=10, method="decision_function")
    )
    scores = logistic.scores(features, members)
    assert np.corrcoef(scores, expected)[0, 1] > 0.998
    assert ((scores > 0) == (expected > 0)).mean() > 0.98


def test_scores_are_a_function_of_the_seed():
    rng = np.random.default_rng(7)
    members = halves(60, 90)
    features = rng.normal(size=150) + 0.5 * members
    first, same, other = (logistic.scores(features, members, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_the_scale_of_a_feature_does_not_matter():
    """Losses of a trained model may all be near 1e-6, where a regression with a penalty would see nothing."""
    rng = np.random.default_rng(8)
    members = halves(200, 200)
    features = rng.normal(size=400) + members
    np.testing.assert_allclose(
        logistic.scores(1e-6 * features, members), logistic.scores(features, members), atol=1e-6, rtol=1e-4
    )


# ------------------------------------------------------------------------------------------- the attack is audited


def test_the_original_is_rejected_and_retrained_models_are_accepted():
    rng = np.random.default_rng(9)
    n, classes, members = 6000, 5, halves(1500, 4500)
    labels, difficulty = rng.integers(0, classes, n), rng.normal(1, 1.5, n)

    def attacks(boost: float) -> list[Interval]:
        logits = rng.normal(0, 0.5, (n, classes))
        logits[np.arange(n), labels] += difficulty + boost * members
        return [accuracy(feature, members) for feature in (logistic.loss(logits, labels), logistic.entropy(logits))]

    original, retrained = attacks(2.0), [attacks(0.0) for _ in range(4)]
    for kind in range(2):
        ceiling = max(rates[kind].high for rates in retrained)
        assert original[kind].low > ceiling
        assert np.mean([rates[kind].value for rates in retrained]) == pytest.approx(0.5, abs=0.025)


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    x, members = np.arange(20.0), halves(10, 10)
    with pytest.raises(DataError, match="expected finite features, got NaN"):
        logistic.scores(np.where(x > 3, np.nan, x), members)
    with pytest.raises(DataError, match="expected at least 5 members and as many others, got 4"):
        logistic.scores(x, halves(4, 16))
    with pytest.raises(DataError, match="folds >= 2 and repeats >= 1, got 1 and 5"):
        logistic.scores(x, members, folds=1)
    with pytest.raises(DataError, match="expected one mark a sample, got 19 for 20 samples"):
        logistic.scores(x, members[:-1])
    with pytest.raises(DataError, match="expected finite logits"):
        logistic.entropy(np.array([[np.inf, 0.0]]))
    with pytest.raises(DataError, match=r"expected one label in \[0, 2\)"):
        logistic.loss(np.zeros((2, 2)), np.array([0, 2]))
