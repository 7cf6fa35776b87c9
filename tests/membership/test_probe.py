import numpy as np
import pytest
from scipy.stats import norm

from obliviate.errors import DataError
from obliviate.membership import probe
from obliviate.metrics.intervals import balanced_accuracy


def test_shifted_normal_representations_give_the_accuracy_of_the_best_plane():
    rng = np.random.default_rng(0)
    d, shift = 10, np.zeros(10)
    shift[:4] = 0.75  # 1.5 standard deviations apart
    mix = rng.normal(size=(d, d))
    rate = balanced_accuracy(
        *probe.scores((rng.normal(size=(1500, d)) + shift) @ mix, rng.normal(size=(3000, d)) @ mix)
    )
    assert rate.value == pytest.approx(norm.cdf(0.75), abs=0.02)
    assert rate.low < norm.cdf(0.75) < rate.high + 0.01


@pytest.mark.parametrize(("n", "d"), [(400, 20), (100, 300)])
def test_equal_distributions_give_chance_also_with_more_features_than_samples(n: int, d: int):
    rates = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rates.append(balanced_accuracy(*probe.scores(rng.normal(size=(n, d)), rng.normal(size=(2 * n, d)), repeats=1)))
    assert np.mean([rate.value for rate in rates]) == pytest.approx(0.5, abs=0.05)


def test_no_sample_is_scored_by_a_probe_that_learnt_it():
    """With more features than samples every split is separable: a probe that saw the samples would be right."""
    rng = np.random.default_rng(1)
    forget, unseen = rng.normal(size=(40, 200)), rng.normal(size=(40, 200))
    assert balanced_accuracy(*probe.scores(forget, unseen)).value < 0.7


def test_features_that_still_remember_are_found_although_the_outputs_do_not_show_it():
    rng = np.random.default_rng(2)
    head = np.zeros(32)
    head[:16] = rng.normal(size=16)
    trace = np.where(head == 0, 0.5, 0.0)  # invisible to the last layer
    unseen, kept, retrained = (rng.normal(size=(600, 32)) for _ in range(3))
    kept = kept + trace
    assert np.abs((kept - kept @ head[:, None] * head / (head @ head)) @ head).max() < 1e-9
    assert balanced_accuracy(*probe.scores(kept, unseen)).value > 0.8
    assert balanced_accuracy(*probe.scores(retrained, unseen)).value < 0.55


def test_dead_features_and_units_do_not_matter():
    rng = np.random.default_rng(3)
    forget, unseen = rng.normal(0.5, 1, (60, 3)), rng.normal(size=(60, 3))
    plain = probe.scores(forget, unseen)
    scaled = [np.concatenate([x * [1e-6, 1, 1e6], np.full((60, 1), 0.1)], axis=1) for x in (forget, unseen)]
    for a, b in zip(plain, probe.scores(*scaled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    almost = np.concatenate([forget, np.zeros((60, 1))], axis=1)
    almost[7, 3] = 1.0  # constant in the folds that do not learn this sample
    assert np.isfinite(probe.scores(almost, np.concatenate([unseen, np.zeros((60, 1))], axis=1))[0]).all()


def test_scores_are_a_function_of_the_seed():
    rng = np.random.default_rng(4)
    sets = rng.normal(size=(2, 30, 3))
    first, same, other = (probe.scores(*sets, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    good = np.random.default_rng(5).normal(size=(10, 2))
    with pytest.raises(DataError, match=r"^expected "):
        probe.scores(good, np.zeros((10, 3)))
    with pytest.raises(DataError, match="at least 5 members"):
        probe.scores(good[:4], good)
    with pytest.raises(DataError, match="expected finite features"):
        probe.scores(good * np.nan, good)
