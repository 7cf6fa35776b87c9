import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score, recall_score, roc_auc_score

from obliviate.errors import DataError
from obliviate.metrics.utility import (
    accuracy,
    balanced_accuracy,
    correct,
    macro_f1,
    margin,
    of_classes,
    of_labels,
    of_numbers,
    perplexity,
    r_squared,
    recalls,
    two_class_auc,
)


def test_accuracy_counts_the_samples_whose_largest_logit_is_the_label():
    logits = np.eye(4)[[0, 1, 2, 3, 0]]
    labels = np.array([0, 1, 2, 0, 3])
    assert correct(logits, labels).tolist() == [True, True, True, False, False]
    assert accuracy(logits, labels) == pytest.approx(0.6)


def test_margin_is_the_log_odds_of_the_true_class():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    probability = np.exp(log_softmax(logits, axis=1))[np.arange(50), labels]
    np.testing.assert_allclose(margin(logits, labels), np.log(probability) - np.log1p(-probability))


def test_margin_of_two_classes_is_the_difference_of_logits_even_when_softmax_saturates():
    logits = np.array([[800.0, -800.0], [-800.0, 800.0]], dtype=np.float32)
    result = margin(logits, np.array([0, 0]))
    assert result.dtype == np.float64
    assert result.tolist() == [1600.0, -1600.0]


def test_margin_leaves_the_logits_as_they_were():
    logits = np.array([[1.0, 2.0]])
    margin(logits, np.array([0]))
    assert logits.tolist() == [[1.0, 2.0]]


@pytest.mark.usefixtures("unchecked")
def test_unusable_logits_are_refused():
    good = np.zeros((2, 3))
    with pytest.raises(DataError, match=r"^expected "):
        accuracy(good, np.array([0]))
    with pytest.raises(DataError, match=r"labels in \[0, 3\)"):
        margin(good, np.array([0, 3]))
    with pytest.raises(DataError, match="labels in"):
        correct(good, np.array([0, -1]))
    with pytest.raises(DataError, match="without NaN"):
        accuracy(np.full((2, 3), np.nan), np.array([0, 1]))


@pytest.mark.parametrize("seed", range(3))
def test_recalls_and_their_mean_are_those_of_scikit_learn(seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 4], size=50, p=[0.7, 0.2, 0.1])
    predicted = np.where(rng.random(50) < 0.6, labels, 0)
    right = predicted == labels
    assert balanced_accuracy(right, labels) == pytest.approx(balanced_accuracy_score(labels, predicted))
    expected = [recall_score(labels == label, predicted == label) for label in np.unique(labels)]
    assert list(recalls(right, labels).values()) == pytest.approx(expected)


def test_a_model_that_always_says_one_class_is_as_good_as_guessing():
    labels = np.array([0] * 98 + [1] * 2)
    right = labels == 0
    assert right.mean() == 0.98
    assert balanced_accuracy(right, labels) == 0.5
    assert recalls(right, labels) == {0: 1.0, 1: 0.0}


@pytest.mark.parametrize("seed", range(3))
def test_the_auc_of_two_classes_is_that_of_scikit_learn_ties_included(seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60)
    logits = np.round(rng.normal(size=(60, 2)) + np.eye(2)[labels])
    assert two_class_auc(logits, labels) == pytest.approx(roc_auc_score(labels, logits[:, 1] - logits[:, 0]))


@pytest.mark.parametrize(("classes", "labels"), [(3, [0, 1, 1]), (2, [1, 1, 1])])
def test_an_auc_needs_two_classes_that_both_occur(classes: int, labels: list[int]):
    with pytest.raises(DataError, match=r"expected logits of 2 classes that both occur, got .* labels \["):
        two_class_auc(np.zeros((3, classes)), np.array(labels))


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_that_of_scikit_learn_over_the_labels_that_occur(seed: int):
    rng = np.random.default_rng(seed)
    targets, predicted = rng.random((40, 5)) < 0.3, rng.random((40, 5)) < 0.4
    targets[:, 3] = False  # predicted, and never there
    expected = f1_score(targets, predicted, labels=[0, 1, 2, 4], average="macro")
    assert macro_f1(predicted, targets) == pytest.approx(expected)
    with pytest.raises(DataError, match="of which some are true"):
        macro_f1(predicted, np.zeros_like(targets))


@pytest.mark.parametrize("outputs", [1, 3])
def test_r_squared_is_that_of_scikit_learn_by_variance(outputs: int):
    rng = np.random.default_rng(outputs)
    target = rng.normal(size=(30, outputs)) * np.arange(1, outputs + 1)
    prediction = target + rng.normal(size=target.shape)
    expected = r2_score(target, prediction, multioutput="variance_weighted")
    assert r_squared(prediction, target) == pytest.approx(expected)
    with pytest.raises(DataError, match="targets that differ"):
        r_squared(prediction, np.ones_like(target))


def test_perplexity_of_guessing_is_the_size_of_the_vocabulary():
    assert perplexity(np.full(5, np.log(67.0))) == pytest.approx(67.0)
    assert np.isfinite(perplexity(np.full(5, 1e6)))
    with pytest.raises(DataError, match="none NaN"):
        perplexity(np.array([np.nan]))


def test_what_the_samples_do_not_determine_is_left_out():
    logits = np.eye(2)[[0, 0]]
    assert list(of_classes(logits, np.array([0, 0]))) == ["accuracy", "balanced_accuracy", "loss", "recall_0"]
    evidence = np.array([[0.5, 0.0, 1.0, 2.0]])
    assert list(of_numbers(evidence, np.array([2.0]))) == ["loss"]
    assert list(of_labels(evidence, np.zeros((1, 1)))) == ["accuracy", "loss"]


def test_cross_entropy_is_that_of_scipy():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    expected = -log_softmax(logits, axis=1)[np.arange(20), labels].mean()
    assert of_classes(logits, labels)["loss"] == pytest.approx(expected)
