"""What a plan does by class: labels made wrong, and shares of classes."""

import numpy as np
import pytest

from obliviate.data.sources import Data, load_data
from obliviate.errors import DataError
from obliviate.plans.labels import mislabelled, of_classes
from obliviate.plans.plan import WrongLabels


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", train_size=200)


def test_so_many_labels_of_each_class_are_wrong_and_everything_else_is_as_before(digits: Data) -> None:
    spoilt, ids = mislabelled(digits, WrongLabels(share=0.6, classes=(0, 1)), seed=3)
    before, after = digits.train.targets, spoilt.train.targets
    changed = (before != after).numpy()
    assert digits.train.ids[changed].tolist() == list(ids)
    for label in (0, 1):
        of_label = (before == label).numpy()
        assert changed[of_label].sum() == round(0.6 * of_label.sum())
    assert set(before[changed].tolist()) == {0, 1}
    assert bool((digits.train.everything().x == spoilt.train.everything().x).all())
    assert spoilt.test.sha256 == digits.test.sha256
    assert spoilt.sha256 != digits.sha256


def test_wrong_labels_are_a_function_of_the_seed(digits: Data) -> None:
    wrong = WrongLabels(share=0.3)
    first, again, other = (mislabelled(digits, wrong, seed=seed)[0].train.sha256 for seed in (0, 0, 1))
    assert first == again != other


def test_a_share_is_taken_of_each_class(digits: Data) -> None:
    ids = of_classes(digits.among(seed=1), (5, 9), 0.4)
    labels = digits.train.select(ids).targets.numpy()
    whole = digits.train.targets.numpy()
    assert {label: int((labels == label).sum()) for label in np.unique(labels).tolist()} == {
        label: round(0.4 * int((whole == label).sum())) for label in (5, 9)
    }


def test_what_cannot_be_is_refused(digits: Data) -> None:
    with pytest.raises(DataError, match=r"expected classes of the training set \(0, 1, .* got 12"):
        of_classes(digits.among(), (12,), 0.4)
    with pytest.raises(DataError, match="expected data with classes to make labels wrong, got regression"):
        mislabelled(load_data("diabetes"), WrongLabels(share=0.1), seed=0)
