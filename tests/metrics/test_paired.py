import numpy as np
import pytest
from scipy.stats import binomtest, ttest_rel

from obliviate.errors import DataError
from obliviate.metrics.paired import fell, higher, rose


@pytest.mark.parametrize("seed", range(3))
def test_a_fall_is_tested_by_the_sign_test_on_what_changed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.random(60) < 0.8, rng.random(60) < 0.6
    lost, changed = int((before & ~after).sum()), int((before != after).sum())
    assert fell(before, after) == pytest.approx(binomtest(lost, changed, 0.5, alternative="greater").pvalue)


def test_no_change_is_no_fall() -> None:
    same = np.array([True, False])
    assert fell(same, same) == 1.0
    assert rose(np.ones(5), np.ones(5)) == 1.0
    assert rose(np.ones(5), np.full(5, 1.5)) == 0.0
    assert rose(np.ones(1), np.full(1, 9.0)) == 1.0


def test_with_many_samples_a_rise_is_tested_as_by_student() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=5000)
    after = before + rng.normal(0.01, 0.3, 5000)
    assert rose(before, after) == pytest.approx(ttest_rel(after, before, alternative="greater").pvalue, rel=0.01)


def test_two_groups_are_compared_by_their_means() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=200), rng.normal(1.5, 2.0, size=50)
    assert higher(low, high) < 0.01
    assert higher(high, low) > 0.99
    assert higher(low, high[:1]) == 1.0


def test_under_no_change_one_in_a_hundred_is_called_certain() -> None:
    rng = np.random.default_rng(0)
    p_values = [fell(rng.random(400) < 0.8, rng.random(400) < 0.8) for _ in range(2000)]
    assert np.mean(np.array(p_values) < 0.01) < 0.016


@pytest.mark.usefixtures("unchecked")
def test_other_samples_before_and_after_are_refused() -> None:
    with pytest.raises(DataError, match="expected the same 1 or more samples before and after"):
        fell(np.array([True]), np.array([True, False]))
    with pytest.raises(DataError, match="expected the same 1 or more samples"):
        rose(np.array([]), np.array([]))
