"""Cheap attacks: what each reads of a model, and whom it is asked about."""

import numpy as np
import pytest

from obliviate import membership
from obliviate.membership import boosted_trees, logistic, svc
from obliviate.membership.base import Knowledge, Target
from obliviate.membership.outputs import Outputs

FORGET, RETAIN, UNSEEN = np.split(np.arange(120), [40, 80])
ATTACKS = {attack.name: attack for attack in membership.cheap_attacks()}


@pytest.fixture(scope="module")
def target() -> Target:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    logits = rng.normal(size=(120, 3))
    logits[np.arange(120), labels] += 1 + (np.arange(120) < 80)
    return Target(Outputs(logits, labels), np.repeat([0, 1, 2], 40), UNSEEN, Knowledge({}))


def test_titles_are_names_in_words_and_none_needs_other_models() -> None:
    assert ATTACKS["svc_modified_entropy"].title == "svc modified entropy"
    assert ATTACKS["mia_loss"].title == "mia loss"
    for attack in ATTACKS.values():
        assert attack.needs <= {"classes"}
        assert (attack.use, attack.signals) == ("cheap", ())


@pytest.mark.usefixtures("all_repeats")
@pytest.mark.parametrize(
    ("name", "feature"),
    [("mia_loss", logistic.loss), ("mia_confidence", logistic.confidence)],
)
def test_a_logistic_attack_tells_forget_from_unseen_samples_by_one_number(
    name: str, feature: object, target: Target
) -> None:
    rows = np.concatenate([FORGET, UNSEEN])
    values = feature(target.outputs.values[rows], target.outputs.labels[rows])  # pyright: ignore
    expected = logistic.scores(values, np.arange(80) < 40)
    scores = ATTACKS[name](target)
    np.testing.assert_array_equal(scores[rows], expected)
    assert np.isnan(scores[RETAIN]).all()


@pytest.mark.parametrize("feature", ["correctness", "confidence", "entropy", "modified_entropy", "probabilities"])
def test_a_support_vector_classifier_reads_the_feature_of_its_name(feature: str, target: Target) -> None:
    features = svc.features(target.outputs.values, target.outputs.labels)[feature]  # pyright: ignore
    forget, unseen = svc.success(features[FORGET], features[RETAIN], features[UNSEEN])
    scores = ATTACKS[f"svc_{feature}"](target)
    np.testing.assert_array_equal(scores[FORGET], forget)
    np.testing.assert_array_equal(scores[UNSEEN], unseen)


def test_trees_read_sorted_probabilities(target: Target) -> None:
    features = boosted_trees.sorted_softmax(target.outputs.values)
    forget, _ = boosted_trees.success(features[FORGET], features[RETAIN], features[UNSEEN])
    np.testing.assert_array_equal(ATTACKS["asr"](target)[FORGET], forget)
