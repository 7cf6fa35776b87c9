import numpy as np
import pytest

from obliviate.audit.spread import Spread, Spreads
from obliviate.errors import AuditError


def test_spread_is_the_excess_over_sampling_weighted_by_degrees_of_freedom():
    few, many = np.array([0.4, 0.6]), np.array([0.50, 0.52, 0.54])
    spread = Spread.of((few, 0.001), (many, 0.0001))
    assert spread.variance == pytest.approx(((0.02 - 0.001) + 2 * (0.0004 - 0.0001)) / 3)
    assert spread.df == 3
    assert Spread.of((many, 0.1)).variance == 0
    with pytest.raises(AuditError, match="at least 2 models"):
        Spread.of((np.array([0.5]), 0.1))


def test_degrees_of_freedom_are_those_of_the_spread_where_it_is_all():
    spread = Spread(0.04, 7)
    assert spread.degrees(0.04, 1.0) == pytest.approx(7)
    assert spread.degrees(0.08, 1.0) == pytest.approx(28)
    assert Spread(0.0, 7).degrees(0.04, 1.0) == np.inf


def test_retrained_models_that_differ_as_references_do_are_pooled_with_them() -> None:
    references, alike, apart = np.linspace(0.46, 0.54, 8), np.array([0.49, 0.51, 0.52]), np.array([0.3, 0.5, 0.7])
    pooled = Spread.between((references, 1e-4), (alike, 1e-4))
    assert (pooled.variance, pooled.df) == (Spread.of((references, 1e-4), (alike, 1e-4)).variance, 9)
    alone = Spread.between((references, 1e-4), (apart, 1e-4))
    assert (alone.variance, alone.df) == (pytest.approx(0.04 - 1e-4), 2)


def test_of_many_figures_each_is_pooled_or_that_of_the_retrained_models_alone():
    sampling, references = np.full((8, 2), 1e-4), np.linspace([0.78, 0.78], [0.82, 0.82], 8)
    alike, apart = [0.79, 0.80, 0.81], [0.60, 0.75, 0.90]
    retrained = np.array([alike, apart]).T, np.full((3, 2), 1e-4)
    spreads = Spreads.of([(references, sampling), retrained])
    pooled = (references[:, 0].var(ddof=1) * 7 + np.var(alike, ddof=1) * 2) / 9
    assert (spreads[0].variance, spreads[0].df) == (pytest.approx(pooled - 1e-4), 9)
    assert (spreads[1].variance, spreads[1].df) == (pytest.approx(np.var(apart, ddof=1) - 1e-4), 2)
    classes = Spreads.of([(references, sampling), retrained], classwise=np.ones(2, bool))
    assert classes.df.tolist() == [9, 2]


def test_of_many_figures_each_has_the_spread_that_it_has_alone():
    """The two ways to the same numbers: by one figure's variance, and by squares of all of them at once."""
    rng = np.random.default_rng(0)
    references, retrained = rng.normal(0.7, 0.02, (12, 40)), rng.normal(0.7, rng.choice([0.02, 0.2], 40), (4, 40))
    spreads, degrees = Spreads.of([(references, np.full((12, 40), 2e-4)), (retrained, np.full((4, 40), 1e-4))]), set()
    for place in range(40):
        alone = Spread.between((references[:, place], 2e-4), (retrained[:, place], 1e-4))
        assert spreads[place].variance == pytest.approx(alone.variance, abs=1e-15)
        assert spreads[place].df == alone.df
        degrees.add(alone.df)
    assert degrees == {3, 14}  # both kinds are among them


def test_figures_that_some_models_do_not_have_are_those_of_the_others():
    figures = np.array([[0.4, 0.4], [0.5, np.nan], [0.9, 0.9]])
    spreads = Spreads.of([(figures, np.full((3, 2), 0.01))])
    assert spreads.df.tolist() == [2, 1]
    assert spreads[1].variance == pytest.approx(Spread.of((np.array([0.4, 0.9]), 0.01)).variance)
