import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy
from sklearn.svm import SVC

from obliviate.errors import DataError
from obliviate.membership import logistic, svc
from obliviate.metrics.intervals import auc, balanced_accuracy


def drawn(n: int = 60, c: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (n, c)), rng.integers(0, c, n)


def test_modified_entropy_is_that_of_the_formula_and_depends_on_the_label():
    logits, labels = drawn()
    p = softmax(logits, axis=1)
    expected = []
    for row, y in zip(p, labels, strict=True):
        others = sum(row[j] * np.log(1 - row[j]) for j in range(4) if j != y)
        expected.append(-(1 - row[y]) * np.log(row[y]) - others)
    np.testing.assert_allclose(svc.modified_entropy(logits, labels), expected, rtol=1e-9)

    def published(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """As in public code: whole columns are indexed by the labels."""
        weight, logs = p.copy(), np.log(1 - p)
        weight[:, labels], logs[:, labels] = (1 - p)[:, labels], np.log(p)[:, labels]
        return -(weight * logs).sum(axis=1)

    other = (labels + 1) % 4
    np.testing.assert_allclose(published(p, labels), published(p, other))
    assert np.abs(svc.modified_entropy(logits, labels) - svc.modified_entropy(logits, other)).min() > 0


def test_modified_entropy_of_sure_models_is_finite_and_ordered():
    logits = np.array([[900.0, 0.0, 0.0], [60.0, 0.0, 0.0], [60.0, 0.0, 0.0], [900.0, 0.0, 0.0]], np.float32)
    right_900, right_60, wrong_60, wrong_900 = svc.modified_entropy(logits, np.array([0, 0, 1, 1]))
    assert 0 <= right_900 < right_60 < 1e-20
    # -(1 - p_y) log p_y - p_0 log(1 - p_0), with 1 - p_0 = 2 exp(-60).
    assert wrong_60 == pytest.approx(120 - np.log(2))
    assert wrong_900 == pytest.approx(1800 - np.log(2))


def test_features_are_those_of_the_libraries():
    logits, labels = drawn()
    by_name, p = svc.features(logits, labels), softmax(logits, axis=1)
    assert {name: x.shape for name, x in by_name.items()} == {
        **dict.fromkeys(["correctness", "confidence", "entropy", "modified_entropy"], (60, 1)),
        "probabilities": (60, 4),
    }
    assert np.array_equal(by_name["correctness"][:, 0], p.argmax(axis=1) == labels)
    np.testing.assert_allclose(by_name["confidence"][:, 0], p[np.arange(60), labels])
    np.testing.assert_allclose(by_name["entropy"][:, 0], scipy_entropy(p, axis=1))
    np.testing.assert_allclose(by_name["probabilities"], p)


def test_scores_are_those_of_the_published_classifier():
    rng = np.random.default_rng(1)
    members, others, points = rng.normal(1, 1, (50, 3)), rng.normal(0, 1, (50, 3)), rng.normal(size=(20, 3))
    oracle = SVC(C=3, gamma="auto", kernel="rbf").fit(np.concatenate([members, others]), np.arange(100) < 50)
    # The order of the samples is the only freedom that thinning to equal sizes leaves.
    scores = svc.scores(members, others, points)
    np.testing.assert_allclose(scores, oracle.decision_function(points), atol=5e-3)


@pytest.mark.parametrize("seed", range(3))
def test_equal_distributions_give_chance_whatever_the_sizes(seed: int):
    rng = np.random.default_rng(seed)
    forget, test = svc.success(*(rng.normal(size=(n, 1)) for n in (600, 1500, 800)), seed=seed)
    rate = balanced_accuracy(forget, test)
    assert rate.low - 0.01 < 0.5 < rate.high + 0.01


def test_the_original_stands_out_and_retrained_models_do_not():
    rng = np.random.default_rng(3)
    n, classes = 2000, 6  # 400 forget, 800 retain, 800 test samples
    labels, difficulty = rng.integers(0, classes, n), rng.normal(1, 1.5, n)

    def rates(trained_on: int) -> dict[str, float]:
        logits, members = rng.normal(0, 0.5, (n, classes)), np.arange(n) >= 400 - trained_on
        members[1200:] = False
        logits[np.arange(n), labels] += difficulty + 3.0 * members
        aucs = {}
        for name, x in svc.features(logits, labels).items():
            aucs[name] = auc(*svc.success(*np.split(x, [400, 1200])))
        return aucs

    original, retrained = rates(400), [rates(0) for _ in range(3)]
    for name, value in original.items():
        assert value > max(rates[name] for rates in retrained) + 0.05, (name, original, retrained)
        assert np.mean([rates[name] for rates in retrained]) == pytest.approx(0.5, abs=0.04), name


def test_confidence_is_the_probability_of_the_true_class():
    logits, labels = drawn()
    np.testing.assert_allclose(logistic.confidence(logits, labels), softmax(logits, axis=1)[np.arange(60), labels])
    assert logistic.confidence(np.array([[900.0, 0.0]], np.float32), np.array([0]))[0] == 1


def test_scores_are_a_function_of_the_seed():
    rng = np.random.default_rng(2)
    sets = [rng.normal(size=(60, 2)) + shift for shift in (1, 0, 0.5)]
    first, same, other = (svc.success(*sets, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], same[0])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    good = np.zeros((4, 2))
    with pytest.raises(DataError, match="expected non-empty sets"):
        svc.scores(good, good[:0], good)
    with pytest.raises(DataError, match=r"^expected "):
        svc.scores(good, good, np.zeros((4, 3)))
    with pytest.raises(DataError, match="expected finite features"):
        svc.scores(good, np.full((4, 2), np.nan), good)
    with pytest.raises(DataError, match="at least 2 forget"):
        svc.success(good[:1], good, good)
    with pytest.raises(DataError, match="at least 2 classes"):
        svc.modified_entropy(np.zeros((3, 1)), np.zeros(3, int))
