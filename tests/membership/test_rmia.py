import inspect

import numpy as np
import pytest
from scipy.special import softmax

from obliviate.errors import DataError
from obliviate.membership import rmia
from obliviate.membership.moments import Moments
from obliviate.metrics.intervals import auc

MODELS, HALF = 16, 800  # reference models; forget samples, and as many unseen ones
UNSEEN = np.arange(HALF, 2 * HALF)


def leave_half_out(rng: np.random.Generator, models: int, n: int) -> np.ndarray:
    plan = np.tile(np.arange(models)[:, None] < models // 2, n)
    return rng.permuted(plan, axis=0)


class World:
    """Two-class logits of simulated models: shared difficulty, noise per model, and a boost for what was trained on."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.difficulty = self.rng.normal(0.5, 2, 2 * HALF)
        self.labels = self.rng.integers(0, 2, 2 * HALF)

    def train(self, members: np.ndarray) -> np.ndarray:
        z = self.difficulty + self.rng.normal(0, 0.7, 2 * HALF) + 2 * members
        logits = np.zeros((2 * HALF, 2))
        logits[np.arange(2 * HALF), self.labels] = z
        return rmia.confidence(logits, self.labels)


@pytest.fixture(scope="module")
def balanced() -> tuple[World, np.ndarray, np.ndarray]:
    world = World()
    included = leave_half_out(world.rng, MODELS, 2 * HALF)
    return world, np.stack([world.train(row) for row in included]), included


def pairwise_share(ratio: np.ndarray, population: np.ndarray, gamma: float) -> np.ndarray:
    """The published definition, one pair at a time."""
    return np.array([[x / ratio[z] > gamma for z in population] for x in ratio]).mean(axis=1)


def small() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    included = np.arange(6)[:, None] < rng.integers(1, 6, 40)  # each sample in 1 to 5 of the 6 references
    return rng.uniform(0.05, 1, 40), rng.uniform(0.05, 1, (6, 40)), included, np.arange(10, 40)


def test_confidence_is_the_softmax_of_scaled_logits():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 3, 20, 5)), rng.integers(0, 5, 20)
    expected = softmax(logits / 3, axis=-1)[..., np.arange(20), labels]
    np.testing.assert_allclose(rmia.confidence(logits, labels, temperature=3.0), expected)


def test_confidence_of_float32_logits_does_not_overflow_or_saturate():
    logits = np.array([[60.0, 0.0], [900.0, 0.0]], dtype=np.float32)
    result = rmia.confidence(logits, np.array([0, 0]))
    assert result.dtype == np.float64
    assert 1 - result[0] == pytest.approx(np.exp(-30), rel=1e-3)
    assert result[1] == 1


def test_taylor_confidence_is_the_truncated_series_with_a_soft_margin():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 20, (2, 30, 4)), rng.integers(0, 4, 30)
    confidences = rmia.confidence(logits, labels, temperature=2.0, form="taylor")
    for model in range(2):
        for x in range(30):
            u = [value / 2 - 0.6 * (j == labels[x]) for j, value in enumerate(logits[model, x])]
            weight = [1 + v + v * v / 2 + v**3 / 6 + v**4 / 24 for v in u]
            assert confidences[model, x] == pytest.approx(weight[labels[x]] / sum(weight))
    # The published degree, 3, gives "probabilities" below 0 and above 1 on the same logits.
    u = logits / 2 - 0.6 * (np.arange(4) == labels[:, None])
    cubic = 1 + u + u**2 / 2 + u**3 / 6
    published = (cubic / cubic.sum(axis=-1, keepdims=True))[:, np.arange(30), labels]
    assert published.min() < 0 < confidences.min()
    assert published.max() > 1 > confidences.max()
    # Near 0 the series is exp, and SM-Taylor a softmax with a margin.
    small = 0.1 * rng.normal(size=(30, 4))
    expected = softmax(small / 2 - 0.6 * (np.arange(4) == labels[:, None]), axis=1)[np.arange(30), labels]
    np.testing.assert_allclose(rmia.confidence(small, labels, form="taylor"), expected, atol=2e-3)


def test_a_taylor_attack_finds_members_too():
    world = World(seed=5)
    included = leave_half_out(world.rng, MODELS, 2 * HALF)

    def train(members: np.ndarray) -> np.ndarray:
        z = world.difficulty + world.rng.normal(0, 0.7, 2 * HALF) + 2 * members
        logits = np.stack([z, -z], axis=1)
        return rmia.confidence(logits / 2, np.zeros(2 * HALF, int), form="taylor")

    moments = Moments.of(np.stack([train(row) for row in included]), included)
    members = np.arange(2 * HALF) < HALF
    scores = rmia.online(train(members), moments, UNSEEN)
    assert auc(scores[members], scores[~members]) > 0.75


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_online_share_equals_the_pairwise_definition(gamma: float):
    target, references, included, population = small()
    ratios = np.empty(40)
    for x in range(40):
        inside, outside = references[included[:, x], x].mean(), references[~included[:, x], x].mean()
        ratios[x] = target[x] / (0.5 * inside + 0.5 * outside)
    scores = rmia.online(target, Moments.of(references, included), population, gamma=gamma)
    share = np.floor(scores * len(population)) / len(population)
    np.testing.assert_allclose(share, pairwise_share(ratios, population, gamma))
    assert np.array_equal(np.argsort(scores), np.argsort(ratios))
    assert len(set(share)) < len(set(scores)) == 40, "the tie-break separates what the shares do not"


def test_population_points_count_as_often_as_they_come():
    target, references, included, population = small()
    several = np.concatenate([population, population[:3], population[:1]])
    moments = Moments.of(references, included)
    share = np.floor(rmia.online(target, moments, several) * len(several)) / len(several)
    prior = (moments.mean(inside=True) + moments.mean(inside=False)) / 2
    np.testing.assert_allclose(share, pairwise_share(target / prior, several, 2.0))


def test_offline_share_equals_the_pairwise_definition():
    target, references, included, population = small()
    a = 0.3
    p_out = np.array([references[~included[:, x], x].mean() for x in range(40)])
    ratios = target / (0.5 * ((1 + a) * p_out + (1 - a)))
    scores = rmia.offline(target, Moments.of(references, included), population, a=a)
    np.testing.assert_allclose(np.floor(scores * 30) / 30, pairwise_share(ratios, population, 2.0))
    assert np.array_equal(np.argsort(scores), np.argsort(ratios))


def test_equal_ratios_get_equal_scores():
    target, references, included, population = small()
    twice = np.concatenate([target, target])
    scores = rmia.online(twice, Moments.of(np.tile(references, 2), np.tile(included, 2)), population)
    assert np.array_equal(scores[:40], scores[40:])


def test_members_of_the_target_are_found(balanced: tuple[World, np.ndarray, np.ndarray]):
    world, references, included = balanced
    members = np.arange(2 * HALF) < HALF
    scores = rmia.online(world.train(members), Moments.of(references, included), UNSEEN)
    assert auc(scores[members], scores[~members]) > 0.8
    scores = rmia.offline(world.train(members), Moments.of(references, included), UNSEEN, a=0.5)
    assert auc(scores[members], scores[~members]) > 0.75


def test_retrained_model_gives_chance_with_a_balanced_pool(balanced: tuple[World, np.ndarray, np.ndarray]):
    world, references, included = balanced
    retrained = [world.train(np.zeros(2 * HALF)) for _ in range(4)]
    online = [rmia.online(target, Moments.of(references, included), UNSEEN) for target in retrained]
    offline = [rmia.offline(target, Moments.of(references, included), UNSEEN, a=0.5) for target in retrained]
    for scores in (online, offline):
        assert np.mean([auc(values[:HALF], values[HALF:]) for values in scores]) == pytest.approx(0.5, abs=0.025)


def test_points_held_out_of_all_references_bias_a_naive_attack_and_are_refused():
    world = World(seed=2)
    included = leave_half_out(world.rng, MODELS, 2 * HALF)
    included[:, UNSEEN] = False
    references = np.stack([world.train(row) for row in included])
    retrained = world.train(np.zeros(2 * HALF))

    # The mean over whatever references there are: forget points have members among theirs, unseen points have not.
    naive = retrained / references.mean(axis=0)
    assert auc(naive[:HALF], naive[HALF:]) < 0.43

    # The OUT selection of a public tool: zero the members' values, keep the largest half, so unseen points keep their
    # most confident references.
    selected = -np.sort(-references * ~included, axis=0)[: MODELS // 2]
    naive = retrained / selected.mean(axis=0)
    assert auc(naive[:HALF], naive[HALF:]) > 0.55

    for attack in (rmia.online, lambda *args: rmia.offline(*args, a=0.5)):
        with pytest.raises(DataError, match=f"{HALF} of {2 * HALF} in all or in none .first at index {HALF}"):
            attack(retrained, Moments.of(references, included), UNSEEN)


def test_offline_a_is_the_best_for_the_references_and_never_sees_a_target(
    balanced: tuple[World, np.ndarray, np.ndarray],
):
    _, references, included = balanced
    grid = (0.0, 0.3, 0.6, 1.0)
    means = []
    for a in grid:
        aucs = []
        for k in range(4):
            rest = [m for m in range(MODELS) if m != k]
            scores = rmia.offline(references[k], Moments.of(references[rest], included[rest]), UNSEEN, a=a)
            aucs.append(auc(scores[included[k]], scores[~included[k]]))
        means.append(np.mean(aucs))
    assert len(set(means)) > 1
    moments, playing = Moments.of(references, included), list(zip(references, included, strict=True))
    assert rmia.fit_offline_a(playing, moments, UNSEEN, grid=grid) == grid[int(np.argmax(means))]
    assert rmia.fit_offline_a(playing[:4], moments, UNSEEN, grid=grid) == grid[int(np.argmax(means))]
    assert "target" not in inspect.signature(rmia.fit_offline_a).parameters


def test_offline_a_needs_enough_references():
    references, included = np.array([[0.5, 0.6], [0.7, 0.2]]), np.array([[True, False], [False, True]])
    moments = Moments.of(references, included)
    with pytest.raises(DataError, match="got 2 models of which 2 could play it; train at least 4"):
        rmia.fit_offline_a(list(zip(references, included, strict=True)), moments, np.array([0, 1]))
    with pytest.raises(DataError, match="of which 0"):
        rmia.fit_offline_a([], moments, np.array([0, 1]))


def test_a_model_that_is_no_reference_cannot_play_the_target_of_the_fit(
    balanced: tuple[World, np.ndarray, np.ndarray],
):
    _, references, included = balanced
    audited = (np.full(2 * HALF, 0.5), np.arange(2 * HALF) < HALF)
    with pytest.raises(DataError, match="expected a reference that was added"):
        rmia.fit_offline_a([audited], Moments.of(references * 1e-3, included), UNSEEN)


def test_references_that_underflow_do_not_make_nan():
    moments = Moments.of(np.array([[0.0, 0.5], [0.0, 0.5]]), np.array([[True, False], [False, True]]))
    scores = rmia.online(np.array([0.0, 0.5]), moments, np.array([0, 1]))
    assert np.isfinite(scores).all()


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    target, references, included, population = small()
    with pytest.raises(DataError, match=r"^expected "):
        rmia.online(target[:-1], Moments.of(references, included), population)
    with pytest.raises(DataError, match="NaN"):
        rmia.online(np.where(target > 0.5, np.nan, target), Moments.of(references, included), population)
    with pytest.raises(DataError, match="population indices"):
        rmia.online(target, Moments.of(references, included), np.array([40]))
    with pytest.raises(DataError, match="population indices"):
        rmia.online(target, Moments.of(references, included), np.array([], dtype=int))
    with pytest.raises(DataError, match="gamma"):
        rmia.offline(target, Moments.of(references, included), population, a=0.5, gamma=0.0)
    with pytest.raises(DataError, match="finite"):
        rmia.confidence(np.array([[np.nan, 0.0]]), np.array([0]))
    with pytest.raises(DataError, match="labels in"):
        rmia.confidence(np.zeros((1, 2)), np.array([2]))
    with pytest.raises(DataError, match=r"^expected "):
        rmia.confidence(np.zeros((2, 2)), np.array([0]))
    with pytest.raises(DataError, match=r"^expected "):
        rmia.confidence(np.zeros((1, 2)), np.array([0]), form="sigmoid")  # pyright: ignore[reportArgumentType]
