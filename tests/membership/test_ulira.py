import numpy as np
import pytest

from obliviate.errors import DataError
from obliviate.membership import lira, ulira
from obliviate.membership.moments import Moments
from obliviate.metrics.intervals import auc, delong

HALF = 1500  # samples that the audited model unlearned, and as many that it never saw
FORGOTTEN = np.arange(2 * HALF) < HALF


class World:
    """Margins after unlearning: what a method leaves behind differs between samples, and has either sign."""

    def __init__(self, seed: int, left: float):
        self.rng = np.random.default_rng(seed)
        self.centre = self.rng.normal(2, 5, 2 * HALF)
        self.left = left * self.rng.choice([-1, 1], 2 * HALF)

    def unlearned(self, had: np.ndarray) -> np.ndarray:
        return self.rng.normal(self.centre + self.left * had, 1.0)

    def shadows(self, models: int) -> Moments:
        had = self.rng.permuted(np.tile(np.arange(models)[:, None] < models // 2, 2 * HALF), axis=0)
        return Moments.of(np.stack([self.unlearned(row) for row in had]), had)


@pytest.mark.parametrize("variance", ["pooled", "shrunk"])
def test_what_a_method_leaves_behind_is_found_with_either_sign(variance: lira.Variance):
    world = World(0, left=2.0)
    shadows, target = world.shadows(32), world.unlearned(FORGOTTEN)
    scores = ulira.scores(target, shadows, variance=variance)
    # The ideal AUC of two normal distributions 2 standard deviations apart is 0.921.
    assert auc(scores[:HALF], scores[HALF:]) > 0.89
    # One threshold for all samples, and even the offline attack per sample, take too little and too much for nothing.
    assert auc(target[:HALF], target[HALF:]) == pytest.approx(0.5, abs=0.03)
    offline = lira.offline(target, shadows, variance=variance)
    assert auc(offline[:HALF], offline[HALF:]) == pytest.approx(0.5, abs=0.03)


def test_exact_unlearning_gives_chance():
    values = []
    for seed in range(8):
        world = World(seed, left=0.0)
        scores = ulira.scores(world.unlearned(FORGOTTEN), world.shadows(16))
        interval = delong(scores[:HALF], scores[HALF:], confidence=0.999)
        assert interval.low < 0.5 < interval.high
        values.append(interval.value)
    assert np.mean(values) == pytest.approx(0.5, abs=0.011)


def test_inside_is_unlearned_and_outside_never_saw():
    had = np.arange(8)[:, None] < 4
    shadows = Moments.of(np.array([[5.0, 6, 7, 6, 1, 2, 3, 2]]).T, had)
    assert ulira.scores(np.array([6.0]), shadows)[0] > 0 > ulira.scores(np.array([2.0]), shadows)[0]
    assert lira.p_values(np.array([6.0]), shadows)[0] < 0.05


def test_the_worst_samples_are_the_ones_that_were_not_forgotten():
    world = World(1, left=0.0)
    world.left[:30] = 6.0  # of 1500
    p_values = lira.p_values(world.unlearned(FORGOTTEN), world.shadows(32))[:HALF]
    worst = np.argsort(p_values)[: HALF // 100]
    assert (worst < 30).all()
    assert np.median(p_values[:30]) < 1e-4
    assert np.median(p_values[30:]) == pytest.approx(0.5, abs=0.05)


def test_samples_without_a_shadow_of_either_kind_are_refused():
    shadows = Moments.of(np.random.default_rng(0).normal(size=(4, 3)), np.array([[True] * 3] * 4))
    with pytest.raises(DataError, match="3 of 3 in all or in none"):
        ulira.scores(np.zeros(3), shadows)
