import numpy as np
import pytest
from scipy.stats import binom, norm

from obliviate.errors import DataError
from obliviate.metrics import bootstrap
from obliviate.metrics.bootstrap import hierarchical_bootstrap
from obliviate.metrics.intervals import ScorePair, auc, delong


def scores(rng: np.random.Generator, seeds: int, sets: int = 1, size: int = 40, between: float = 0.0):
    """Scores of members that lie 0.5 above the others on average, by more or less under each seed."""
    shifts = 0.5 + rng.normal(0, between, seeds)
    return [[(rng.normal(shift, 1, size), rng.normal(0, 1, size)) for _ in range(sets)] for shift in shifts]


def slow_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    return auc(positive, negative)


@pytest.mark.parametrize("crossed", [False, True])
def test_fast_path_for_auc_equals_calling_it_on_every_resample(crossed: bool):
    rng = np.random.default_rng(0)
    tied = [[(rng.integers(1, 6, 12), rng.integers(0, 5, 9)) for _ in range(3)] for _ in range(2)]
    fast, slow = (hierarchical_bootstrap(tied, statistic=s, crossed=crossed, draws=60) for s in (auc, slow_auc))
    assert (fast.low, fast.value, fast.high) == pytest.approx((slow.low, slow.value, slow.high))
    assert fast.value == pytest.approx(np.mean([auc(*pair) for sets in tied for pair in sets]))


def test_one_seed_and_one_forget_set_give_the_interval_of_delong():
    data = scores(np.random.default_rng(1), 1, size=150)
    interval, expected = hierarchical_bootstrap(data), delong(*data[0][0])
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.008)


def test_draws_are_a_function_of_the_seed_and_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch):
    data = scores(np.random.default_rng(2), 3, 2)
    first = hierarchical_bootstrap(data, draws=100, seed=7)
    assert first == hierarchical_bootstrap(data, draws=100, seed=7)
    assert first != hierarchical_bootstrap(data, draws=100, seed=8)
    monkeypatch.setattr(bootstrap, "CHUNK", 2**12)
    again = hierarchical_bootstrap(data, draws=100, seed=7)
    assert (again.low, again.high) == pytest.approx((first.low, first.high), abs=0.03)


def test_interval_covers_the_mean_over_seeds_where_one_of_samples_alone_does_not():
    rng = np.random.default_rng(3)
    truth, trials = norm.cdf(0.5 / np.sqrt(2 + 0.6**2)), 100
    covered, samples_only = 0, 0
    for trial in range(trials):
        data = scores(rng, seeds=10, between=0.6)
        interval = hierarchical_bootstrap(data, draws=200, seed=trial)
        covered += interval.low <= truth <= interval.high
        flat = hierarchical_bootstrap([[_pooled(data)]], draws=200, seed=trial)
        samples_only += flat.low <= truth <= flat.high
    assert covered >= binom.ppf(1e-3, trials, 0.90)
    assert samples_only < 0.8 * trials, "seeds do not matter here"


def _pooled(data: list[list[ScorePair]]) -> ScorePair:
    pairs = [pair for sets in data for pair in sets]
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def test_noise_of_shared_samples_does_not_average_out_over_seeds():
    rng = np.random.default_rng(4)
    members, others = rng.normal(0.5, 1, 60), rng.normal(0, 1, 60)
    data = [[(members + rng.normal(0, 0.05, 60), others + rng.normal(0, 0.05, 60))] for _ in range(9)]
    width = {crossed: _width(data, crossed) for crossed in (False, True)}
    single = delong(members, others)
    assert width[True] == pytest.approx(single.high - single.low, rel=0.12)
    assert width[False] < 0.5 * width[True]


def _width(data: list[list[ScorePair]], crossed: bool) -> float:
    interval = hierarchical_bootstrap(data, crossed=crossed)
    return interval.high - interval.low


def test_forget_sets_are_resampled_too():
    rng = np.random.default_rng(5)
    same = [rng.normal(size=(2, 500)) for _ in range(4)]
    apart = [(pair[0] + shift, pair[1]) for pair, shift in zip(same, (0.0, 0.5, 1.0, 1.5), strict=True)]
    alike = [(pair[0] + 0.75, pair[1]) for pair in same]
    for crossed in (False, True):
        assert _width([apart], crossed) > 3 * _width([alike], crossed)


def test_unusable_levels_are_refused():
    pair = (np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="drop empty"):
        hierarchical_bootstrap([])
    with pytest.raises(DataError, match="drop empty"):
        hierarchical_bootstrap([[pair], []])
    with pytest.raises(DataError, match="drop empty"):
        hierarchical_bootstrap([[(np.zeros(0), np.zeros(2))]])
    with pytest.raises(DataError, match="same samples"):
        hierarchical_bootstrap([[pair], [pair, pair]], crossed=True)
    with pytest.raises(DataError, match="without NaN"):
        hierarchical_bootstrap([[(np.array([np.nan]), np.zeros(2))]])
    with pytest.raises(DataError, match="draws >= 1"):
        hierarchical_bootstrap([[pair]], draws=0)
