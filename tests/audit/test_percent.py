"""Intervals and rates as results hold them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from obliviate.audit.percent import percent, rate, share
from obliviate.metrics.intervals import Interval


def test_all_of_an_interval_is_in_percent() -> None:
    figure = percent(Interval(0.5, 0.25, 0.75))
    assert (figure.value, figure.low, figure.high) == (50, 25, 75)


def test_a_share_of_right_and_wrong_samples_has_its_exact_interval() -> None:
    exact = binomtest(18, 20).proportion_ci(0.9, method="exact")
    interval = share(np.repeat([1.0, 0.0], [18, 2]), 0.9)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.9, exact.low, exact.high))


def test_a_mean_of_shares_stays_within_0_and_1() -> None:
    interval = share(np.array([1.0, 1.0, 0.9, 1.0]), 0.95)
    assert interval.value == pytest.approx(0.975)
    assert 0 < interval.low < interval.value < interval.high == 1


def test_a_rate_that_the_samples_do_not_resolve_says_how_many_would() -> None:
    rng = np.random.default_rng(0)
    few = rate((rng.normal(size=50), rng.normal(size=50)), 0.01)
    assert (few.tpr, few.realised_fpr, few.fpr, few.unseen_needed) == (None, None, 1, 1000)
    many = rate((rng.normal(3, 1, 1000), rng.normal(size=1000)), 0.01)
    assert many.tpr is not None
    assert many.realised_fpr is not None
    assert many.tpr.low < many.tpr.value < many.tpr.high
    assert many.tpr.value > 50
