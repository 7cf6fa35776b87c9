import numpy as np
import pytest
from scipy.stats import norm

from obliviate.errors import DataError
from obliviate.metrics.multiple import least_correlation, least_p


@pytest.mark.parametrize("p_value", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("tests", [2, 3, 7])
def test_independent_and_equal_tests_have_their_closed_forms(p_value: float, tests: int):
    assert least_p(p_value, tests, 0.0) == pytest.approx(1 - (1 - p_value) ** tests)
    assert least_p(p_value, tests, 1.0) == pytest.approx(p_value, rel=0.6)
    assert p_value <= least_p(p_value, tests, 1.0) <= least_p(p_value, tests, 0.5) <= tests * p_value


@pytest.mark.parametrize("correlation", [0.2, 0.5, 0.8])
def test_the_least_p_value_of_correlated_tests_is_that_of_a_simulation(correlation: float):
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(200_000, 1)), rng.normal(size=(200_000, 3))
    scores = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    for p_value in (0.01, 0.05):
        simulated = (scores > norm.isf(p_value)).any(axis=1).mean()
        assert least_p(p_value, 3, correlation) == pytest.approx(simulated, rel=0.05)


def test_the_least_correlation_is_that_of_the_two_that_go_together_least():
    rng = np.random.default_rng(0)
    first = (rng.normal(size=4000), rng.normal(size=1000))
    half = tuple((part + rng.normal(size=len(part))) / np.sqrt(2) for part in first)
    assert least_correlation([first, first]) == pytest.approx(1)
    assert least_correlation([first, first, half]) == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert least_correlation([first, tuple(-part for part in first)]) == 0
    assert least_correlation([first]) == 1


def test_what_is_no_probability_is_refused():
    for asked in ((1.2, 3, 0.5), (0.1, 0, 0.5), (0.1, 3, -0.1)):
        with pytest.raises(DataError, match="expected tests >= 1"):
            least_p(*asked)
