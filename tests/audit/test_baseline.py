import numpy as np
import pytest
from scipy.stats import kstest

from obliviate.audit.baseline import OutOfSample, References, Retrained
from obliviate.audit.spread import Spread
from obliviate.audit.verdict import Evidence
from obliviate.metrics.intervals import delong_difference

Pair = tuple[np.ndarray, np.ndarray]
FORGET, UNSEEN = 120, 300
DRAWS = 200


def test_difference_to_retrained_models_without_spread_is_the_paired_delong_interval():
    rng = np.random.default_rng(1)
    shared = rng.normal(size=80), rng.normal(size=90)
    pairs = [tuple(side + rng.normal(0, 0.3, len(side)) for side in shared) for _ in range(4)]
    model, *others = [(pair[0], pair[1]) for pair in pairs]
    evidence = Retrained.of(others).evidence("rmia", model, Spread(0.0, 5))
    expected = delong_difference(model, others, confidence=0.9)
    interval = evidence.interval(0.9)
    assert (interval.value, interval.low, interval.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_a_retrained_model_is_compared_with_the_others():
    rng = np.random.default_rng(2)
    pairs: list[Pair] = [(rng.normal(size=30), rng.normal(size=30)) for _ in range(3)]
    evidence = Retrained.of(pairs).evidence("rmia", pairs[1], Spread(0.0, 5), leave_out=1)
    expected = delong_difference(pairs[1], [pairs[0], pairs[2]])
    assert evidence.value == pytest.approx(expected.value)


class World:
    """Scores of models that never saw the samples: a model's own shift of all forget samples is the spread."""

    def __init__(self, seed: int, spread: float) -> None:
        self.rng, self.spread = np.random.default_rng(seed), spread
        self.shared = self.rng.normal(size=FORGET), self.rng.normal(size=UNSEEN)

    def model(self, boost: float = 0.0) -> Pair:
        forget, unseen = (part + self.rng.normal(size=len(part)) for part in self.shared)
        return forget + self.rng.normal(0, self.spread) + boost, unseen

    def references(self, count: int) -> References:
        out_of_sample = []
        for _ in range(count // 2):
            half = self.rng.permutation(FORGET) % 2 == 0, self.rng.permutation(UNSEEN) % 2 == 0
            for forget, unseen in (half, (~half[0], ~half[1])):
                scores = self.model()
                out_of_sample.append(OutOfSample((scores[0][forget], scores[1][unseen]), forget, unseen))
        return References.of(out_of_sample)

    def by_references(self, count: int, boost: float = 0.0) -> Evidence:
        # A new set of samples each time: without retrained models these are part of what is not known.
        self.shared = self.rng.normal(size=FORGET), self.rng.normal(size=UNSEEN)
        references = self.references(count)
        return references.evidence("rmia", self.model(boost), Spread.of((references.values, references.sampling)))

    def by_retrained(self, count: int, references: int, boost: float = 0.0) -> Evidence:
        retrained, others = Retrained.of([self.model() for _ in range(count)]), self.references(references)
        spread = Spread.between((others.values, others.sampling), (retrained.values, retrained.noise))
        return retrained.evidence("rmia", self.model(boost), spread)


class WithoutAClass(World):
    """Retrained models know nothing of a class and are sure of that, each to its own degree; references know it."""

    def model(self, boost: float = 0.0) -> Pair:
        forget, unseen = (side + self.rng.normal(0, 0.1, len(side)) for side in self.shared)
        return forget - 2.5 + self.rng.normal(0, self.spread) + boost, unseen

    def references(self, count: int) -> References:
        return World(int(self.rng.integers(2**32)), 0.0).references(count)


@pytest.mark.parametrize(
    ("spread", "retrained", "references"),
    [
        (0.0, 0, 8),
        (0.3, 0, 16),
        (0.3, 3, 16),
        *(
            pytest.param(spread, *models, marks=pytest.mark.slow)
            for spread in (0.0, 0.1, 0.3)
            for models in ((0, 4), (0, 16), (0, 64), (2, 4), (2, 8), (3, 16))
        ),
    ],
)
def test_a_model_that_never_saw_the_forget_set_is_seldom_called_a_leak(spread: float, retrained: int, references: int):
    world = World(3, spread)
    measured = [
        world.by_retrained(retrained, references) if retrained else world.by_references(references)
        for _ in range(DRAWS)
    ]
    # With 4 references a spread of 8 points of AUC between models is known too poorly for more than this.
    level = 0.05 if references > 4 else 0.08
    limit = level + 3.3 * np.sqrt(level * (1 - level) / DRAWS)
    assert np.mean([evidence.p_above() < 0.05 for evidence in measured]) < limit
    assert np.mean([evidence.p_below() < 0.05 for evidence in measured]) < limit
    assert np.mean([evidence.within(evidence.resolution()) for evidence in measured]) > 0.86


@pytest.mark.parametrize("retrained", [2, 3])
def test_a_true_retrain_is_seldom_condemned_where_these_differ_more_than_references(
    retrained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def condemned() -> float:
        world = WithoutAClass(6, 0.3)
        evidence = [world.by_retrained(retrained, 8) for _ in range(60)]
        return float(np.mean([min(each.p_above(), each.p_below()) < 0.025 for each in evidence]))

    assert condemned() < 0.15
    monkeypatch.setattr(Spread, "between", Spread.of)  # all models together, as if they were alike
    assert condemned() > 0.25


@pytest.mark.slow
def test_p_values_are_uniform_with_many_references():
    world = World(4, 0.3)
    values = [world.by_references(64).p_above() for _ in range(400)]
    assert kstest(values, "uniform").pvalue > 0.01


def test_leaving_the_spread_between_models_out_would_be_found():
    world = World(4, 0.3)
    measured = [world.by_references(16) for _ in range(DRAWS)]
    fixed = [world.references(16).evidence("rmia", world.model(), Spread(0.0, 15)) for _ in range(DRAWS)]
    assert np.mean([evidence.p_above() < 0.05 for evidence in measured]) < 0.12
    assert np.mean([evidence.p_above() < 0.05 for evidence in fixed]) > 0.2


def test_a_leak_is_found():
    world = World(5, 0.1)
    assert np.mean([world.by_references(16, boost=1.0).p_above() < 0.05 for _ in range(100)]) > 0.9
    assert np.mean([world.by_retrained(3, 16, boost=1.0).p_above() < 0.05 for _ in range(100)]) > 0.95
