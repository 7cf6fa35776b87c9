import numpy as np
import pytest
from scipy.stats import kstest, norm, t

from obliviate.errors import DataError
from obliviate.membership import lira
from obliviate.membership.lira import Variance
from obliviate.membership.moments import Moments
from obliviate.metrics.intervals import auc, delong

KINDS: tuple[Variance, ...] = ("per_sample", "pooled", "shrunk")
HALF = 1500  # forget samples, and as many unseen ones


class World:
    """Margins of simulated models: a mean and a spread of each sample's own, and a boost for what was trained on."""

    def __init__(self, seed: int = 0, *, n: int = 2 * HALF, spread: float = 0.5, boost: float = 2.0):
        self.rng = np.random.default_rng(seed)
        self.centre = self.rng.normal(2, 5, n)
        # Inverse-gamma variances with 2 / spread^2 degrees of freedom, or one variance for all.
        freedom = 2 / spread**2 if spread else np.inf
        self.sd = np.sqrt(freedom / self.rng.chisquare(freedom, n)) if spread else np.ones(n)
        self.boost = boost

    def train(self, members: np.ndarray) -> np.ndarray:
        return self.rng.normal(self.centre + self.boost * members, self.sd * np.where(members, 0.7, 1.0))

    def pool(self, models: int) -> tuple[np.ndarray, np.ndarray]:
        plan = np.tile(np.arange(models)[:, None] < models // 2, len(self.sd))
        included = self.rng.permuted(plan, axis=0)
        return np.stack([self.train(row) for row in included]), included


def slow_ratio(target: np.ndarray, values: np.ndarray, included: np.ndarray, *, pooled: bool) -> np.ndarray:
    """The published ratio, one sample at a time, with the variances of each side from its own references."""
    n = len(target)
    parts = {side: [values[included[:, x] == side, x] for x in range(n)] for side in (True, False)}
    common = {
        side: np.concatenate([p - p.mean() for p in list_]).var()
        * sum(map(len, list_))
        / sum(len(p) - 1 for p in list_)
        for side, list_ in parts.items()
    }
    result = np.empty(n)
    for x in range(n):
        logs = {}
        for side in (True, False):
            own = parts[side][x]
            logs[side] = norm.logpdf(target[x], own.mean(), np.sqrt(common[side] if pooled else own.var(ddof=1)))
        result[x] = logs[True] - logs[False]
    return result


# ------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize(("variance", "pooled"), [("per_sample", False), ("pooled", True)])
def test_online_is_the_published_ratio(variance: Variance, pooled: bool):
    world = World(n=60)
    values, included = world.pool(8)
    target = world.train(np.arange(60) < 30)
    scores = lira.online(target, Moments.of(values, included), variance=variance)
    expected = slow_ratio(target, values, included, pooled=pooled)
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)
    assert np.array_equal(np.argsort(scores), np.argsort(expected))


def test_online_does_not_take_the_variance_outside_from_the_references_inside():
    world = World(n=400, spread=0)
    values, included = world.pool(8)
    target = world.train(np.arange(400) < 200)
    moments = Moments.of(values, included)
    swapped = norm.logpdf(target, moments.mean(True), moments.pooled_variance(True) ** 0.5) - norm.logpdf(
        target, moments.mean(False), moments.pooled_variance(True) ** 0.5
    )
    scores = lira.online(target, moments, variance="pooled")
    assert moments.pooled_variance(False) == pytest.approx(2 * moments.pooled_variance(True), rel=0.2)
    assert np.abs(scores - swapped).max() > 1
    assert not np.array_equal(np.argsort(scores), np.argsort(swapped))


def test_offline_is_the_z_score_to_the_references_outside():
    world = World(n=60)
    values, included = world.pool(8)
    target = world.train(np.arange(60) < 30)
    scores = lira.offline(target, Moments.of(values, included), variance="per_sample")
    outside = [values[~included[:, x], x] for x in range(60)]
    expected = [(target[x] - own.mean()) / own.std(ddof=1) for x, own in enumerate(outside)]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@pytest.mark.parametrize(("models", "expected"), [(62, "pooled"), (64, "per_sample")])
def test_auto_pools_below_64_references(models: int, expected: Variance):
    world = World(n=50)
    moments, target = Moments.of(*world.pool(models)), world.train(np.zeros(50, bool))
    for attack in (lira.online, lira.offline):
        assert np.array_equal(attack(target, moments), attack(target, moments, variance=expected))
        assert not np.array_equal(attack(target, moments), attack(target, moments, variance="shrunk"))


def test_shrunk_is_the_student_predictive_of_a_normal_inverse_gamma_prior(monkeypatch: pytest.MonkeyPatch):
    """Against a numerical integral over the variance and the mean, for a prior that is given."""
    nu, tau2, own, phi = 5.0, 2.0, np.array([1.0, 2.5, 0.5]), 3.2
    monkeypatch.setattr(lira, "_prior", lambda moments, inside: (nu, tau2))
    values = np.concatenate([own, [9.0, 8.0]])[:, None]
    moments = Moments.of(values, np.arange(5)[:, None] >= 3)
    # With a flat mean, the likelihood of k values is proportional to sigma^-(k-1) exp(-S / 2 sigma^2), and a new value
    # is normal about their mean with variance (1 + 1/k) sigma^2.
    s2 = np.exp(np.linspace(-8, 12, 200_001))
    squares = ((own - own.mean()) ** 2).sum()
    weight = s2 ** (-nu / 2) * np.exp(-nu * tau2 / 2 / s2) * s2 ** (-(len(own) - 1) / 2) * np.exp(-squares / 2 / s2)
    density = (weight * norm.pdf(phi, own.mean(), np.sqrt(s2 * (1 + 1 / 3)))).sum() / weight.sum()
    tail = (weight * norm.sf(phi, own.mean(), np.sqrt(s2 * (1 + 1 / 3)))).sum() / weight.sum()
    ratio = t.logpdf(phi, nu + 1, 8.5, np.sqrt((1 + 1 / 2) * (nu * tau2 + 0.5) / (nu + 1))) - np.log(density)
    assert lira.online(np.array([phi]), moments, variance="shrunk")[0] == pytest.approx(ratio)
    assert lira.p_values(np.array([phi]), moments, variance="shrunk")[0] == pytest.approx(tail)
    scale = np.sqrt((1 + 1 / 3) * (nu * tau2 + squares) / (nu + 2))
    assert lira.offline(np.array([phi]), moments, variance="shrunk")[0] == pytest.approx((phi - own.mean()) / scale)


@pytest.mark.parametrize("models", [4, 8, 32])
def test_the_prior_is_found_again(models: int):
    world = World(n=40_000, spread=0.5)  # 2 / 0.5^2 = 8 degrees of freedom, common variance 1
    nu, tau2 = lira._prior(Moments.of(*world.pool(models)), False)
    assert nu == pytest.approx(8, rel=0.2)
    assert tau2 == pytest.approx(1, rel=0.05)


def test_equal_variances_are_pooled_and_large_pools_keep_their_own():
    world = World(n=2000, spread=0)
    nu, tau2 = lira._prior(moments := Moments.of(*world.pool(8)), False)
    assert nu > 50
    assert tau2 == pytest.approx(moments.pooled_variance(False), rel=0.05)
    world = World(n=300, spread=1.0)
    moments, target = Moments.of(*world.pool(400)), world.train(np.zeros(300, bool))
    own, shrunk = (lira.offline(target, moments, variance=kind) for kind in ("per_sample", "shrunk"))
    np.testing.assert_allclose(shrunk, own, rtol=0.06)


# ------------------------------------------------------------------------------------------- the attack is audited


@pytest.mark.parametrize("variance", KINDS)
@pytest.mark.parametrize("models", [8, 64])
def test_members_of_the_target_are_found(variance: Variance, models: int):
    world = World(seed=1)
    moments, members = Moments.of(*world.pool(models)), np.arange(2 * HALF) < HALF
    target = world.train(members)
    ideal = norm.logpdf(target, world.centre + 2, 0.7 * world.sd) - norm.logpdf(target, world.centre, world.sd)
    best = auc(ideal[members], ideal[~members])
    assert best > 0.9
    slack = 0.11 if models == 8 else 0.02
    online, offline = (attack(target, moments, variance=variance) for attack in (lira.online, lira.offline))
    assert auc(online[members], online[~members]) > best - slack
    assert auc(offline[members], offline[~members]) > best - slack - 0.03


def test_shrinking_beats_own_variances_with_few_references_and_pooled_ones_where_variances_differ():
    world, members = World(seed=2, n=20_000, spread=0.9), np.arange(20_000) < 10_000
    moments, target = Moments.of(*world.pool(8)), world.train(members)
    aucs = {}
    for variance in KINDS:
        scores = lira.online(target, moments, variance=variance)
        aucs[variance] = auc(scores[members], scores[~members])
    assert aucs["shrunk"] > max(aucs["per_sample"], aucs["pooled"]) + 0.005, aucs


@pytest.mark.parametrize("variance", KINDS)
def test_a_perfect_retrain_gives_chance(variance: Variance):
    """Although members vary less, and means and spreads differ between samples."""
    aucs: dict[str, list[float]] = {"online": [], "offline": []}
    for seed in range(8):
        world = World(seed)
        moments = Moments.of(*world.pool(16))
        target = world.train(np.zeros(2 * HALF, bool))
        for name, attack in (("online", lira.online), ("offline", lira.offline)):
            scores = attack(target, moments, variance=variance)
            interval = delong(scores[:HALF], scores[HALF:], confidence=0.999)
            assert interval.low < 0.5 < interval.high
            aucs[name].append(interval.value)
    # One AUC has a standard deviation of 0.0105, the mean of eight one of 0.0037.
    assert all(np.mean(values) == pytest.approx(0.5, abs=0.011) for values in aucs.values()), aucs


# ------------------------------------------------------------------------------------------- p-values


@pytest.mark.parametrize("models", [4, 6, 8, 16, 64])
@pytest.mark.parametrize(
    ("variance", "spread"), [("per_sample", 0.7), ("pooled", 0.0), ("shrunk", 0.0), ("shrunk", 0.7)]
)
def test_p_values_are_uniform_for_models_that_never_saw_the_sample(variance: Variance, spread: float, models: int):
    world = World(seed=models, n=20_000, spread=spread)
    p_values = lira.p_values(world.train(np.zeros(20_000, bool)), Moments.of(*world.pool(models)), variance=variance)
    assert kstest(p_values, "uniform").statistic < 0.015  # 1.36 / sqrt(n) = 0.0096 is the 5 % point
    for level in (0.01, 0.05):
        assert (p_values < level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 20_000))


@pytest.mark.parametrize("variance", ["pooled", "shrunk"])
def test_p_values_of_two_references_are_uniform_where_samples_share_a_variance(variance: Variance):
    """One reference outside each sample has no variance of its own; of three, one or two."""
    world, rng = World(seed=9, n=20_000, spread=0.0), np.random.default_rng(0)
    outside = rng.permuted(np.arange(4)[:, None] < rng.integers(1, 3, 20_000), axis=0)
    moments = Moments.of(np.stack([world.train(~row) for row in outside]), ~outside)
    assert set(moments.count[0]) == {1, 2}
    p_values = lira.p_values(world.train(np.zeros(20_000, bool)), moments, variance=variance)
    assert kstest(p_values, "uniform").statistic < 0.015
    assert (p_values < 0.01).mean() == pytest.approx(0.01, abs=0.003)


def test_plain_gaussian_tails_would_not_be_calibrated_at_four_references():
    world = World(seed=4, n=20_000, spread=0.7)
    moments, target = Moments.of(*world.pool(4)), world.train(np.zeros(20_000, bool))
    naive = norm.sf(lira.offline(target, moments, variance="per_sample"))
    assert (naive < 0.01).mean() > 0.1


def test_p_values_of_members_are_small():
    world = World(seed=5, boost=4.0)
    moments = Moments.of(*world.pool(16))
    p_values = lira.p_values(world.train(np.arange(2 * HALF) < HALF), moments)
    assert (p_values[:HALF] < 0.01).mean() > 0.5
    assert (p_values[HALF:] < 0.01).mean() < 0.03


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("attack", [lira.online, lira.offline, lira.p_values])
def test_samples_in_all_or_in_no_reference_are_refused(attack):
    world = World(n=50)
    values, included = world.pool(8)
    included[:, 7] = True
    included[:, 9] = False
    with pytest.raises(DataError, match="got 2 of 50 in all or in none"):
        attack(world.train(np.zeros(50, bool)), Moments.of(values, included))


@pytest.mark.usefixtures("unchecked")
def test_variances_that_cannot_be_estimated_are_refused():
    world = World(n=50)
    values, included = world.pool(2)
    moments = Moments.of(values, included)
    with pytest.raises(DataError, match="at least 2 references inside at every sample"):
        lira.online(values[0], moments, variance="per_sample")
    with pytest.raises(DataError, match="at least 2 references inside"):
        lira.online(values[0], moments, variance="shrunk")
    values, included = world.pool(8)
    values[:, 3] = 1.0
    with pytest.raises(DataError, match="equal ones at 1 of 50"):
        lira.offline(values[0], Moments.of(values, included), variance="per_sample")
    assert np.isfinite(lira.online(values[0], Moments.of(values, included), variance="shrunk")).all()
    with pytest.raises(DataError, match="equal ones at 50 of 50"):
        lira.offline(values[0], Moments.of(np.ones((8, 50)), included), variance="pooled")
    with pytest.raises(DataError, match=r"^expected "):
        lira.offline(values[0], Moments.of(values, included), variance="own")  # pyright: ignore[reportArgumentType]
