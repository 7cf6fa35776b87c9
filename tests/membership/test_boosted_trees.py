import numpy as np
import pytest
import torch

from obliviate import workflow
from obliviate.data.rules import random_ids
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import DataError
from obliviate.experiment import Experiment
from obliviate.membership import boosted_trees, logistic
from obliviate.methods.retrain import Retrain
from obliviate.metrics.intervals import Interval, balanced_accuracy
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe


def success_rate(forget: np.ndarray, retain: np.ndarray, test: np.ndarray) -> Interval:
    """The ASR of logits."""
    return balanced_accuracy(*boosted_trees.success(*map(boosted_trees.sorted_softmax, (forget, retain, test))))


def test_probabilities_are_sorted_row_by_row():
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    ordered = boosted_trees.sorted_softmax(logits)
    p = torch.from_numpy(logits).double().softmax(1).sort(1).values
    np.testing.assert_allclose(ordered, p.numpy())


# ------------------------------------------------------------------------------------------- closed forms


def test_what_lies_on_both_sides_of_the_others_is_told_apart():
    rng = np.random.default_rng(1)

    def draw(n: int, sides: bool) -> np.ndarray:
        return np.where(sides, rng.choice([-2.0, 2.0], n), 0.0)[:, None] + rng.uniform(-0.5, 0.5, (n, 2))

    scores = boosted_trees.scores(draw(300, True), draw(300, False), np.concatenate([draw(50, True), draw(50, False)]))
    assert balanced_accuracy(scores[:50], scores[50:]).value == 1


@pytest.mark.parametrize("seed", range(3))
def test_equal_distributions_give_chance_whatever_the_sizes(seed: int):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(2000, 3))
    scores = boosted_trees.scores(rng.normal(size=(1500, 3)), rng.normal(size=(300, 3)), points)
    rate = balanced_accuracy(scores[:1000], scores[1000:])
    assert rate.low - 0.01 < 0.5 < rate.high + 0.01
    assert (scores > 0).mean() == pytest.approx(0.5, abs=0.25), "the larger side is not guessed everywhere"


def test_scores_are_a_function_of_the_seed():
    rng = np.random.default_rng(2)
    sets = [rng.normal(size=(60, 2)) + shift for shift in (1, 0, 0.5)]
    first, same, other = (boosted_trees.success(*sets, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], same[0])
    assert np.array_equal(first[1], same[1])
    assert not np.array_equal(first[0], other[0])


def test_no_test_sample_is_scored_by_trees_that_learnt_it(monkeypatch: pytest.MonkeyPatch):
    """Every forget and test sample is asked for once, the forget set and what is asked for are never learnt."""
    asked = []
    score = boosted_trees.scores

    def watching(members: np.ndarray, others: np.ndarray, points: np.ndarray, **options: int) -> np.ndarray:
        learnt = {*members[:, 0], *others[:, 0]}
        assert not learnt & set(points[:, 0])
        assert len(others) in (10, 11)
        asked.extend(points[:, 0])
        return score(members, others, points, **options)

    monkeypatch.setattr(boosted_trees, "scores", watching)
    numbers = np.arange(71.0)[:, None]
    forget, test = boosted_trees.success(numbers[:10], numbers[10:50], numbers[50:])
    assert sorted(asked) == [*range(10), *range(50, 71)]
    assert (len(forget), len(test)) == (10, 21)


# ------------------------------------------------------------------------------------------- the attack is audited


def test_the_original_is_rejected_and_retrained_models_are_accepted():
    rng = np.random.default_rng(3)
    n, classes = 5000, 6  # 1000 forget, 2000 retain, 2000 test samples
    labels, difficulty = rng.integers(0, classes, n), rng.normal(1, 1.5, n)
    parts = [1000, 3000]

    def attack(trained_on: int) -> Interval:
        logits = rng.normal(0, 0.5, (n, classes))
        members = np.arange(n) >= 1000 - trained_on
        members[3000:] = False
        logits[np.arange(n), labels] += difficulty + 2.0 * members
        return success_rate(*np.split(logits, parts))

    original, retrained = attack(1000), [attack(0) for _ in range(3)]
    assert original.low > max(rate.high for rate in retrained)
    # Forget and test samples are alike to a retrained model, so that what is won on one is lost on the other.
    assert np.mean([rate.value for rate in retrained]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_both_attacks_reject_the_original_and_accept_retrained_models_of_the_shipped_data(
    data: Data, task: Classification
):
    train = data.train.select(data.train.ids[:2000])
    split, recipe = Split.of(train, forget=random_ids(train, 0.4, seed=0)), Recipe()
    original = workflow.train(Experiment(task, recipe, train))
    models = [
        original,
        *(workflow.unlearn(original, split, Retrain(), seed=s) for s in (1, 2, 3)),
    ]
    rates: dict[str, list[Interval]] = {"boosted trees": [], "loss": [], "entropy": []}
    for model in models:
        forget, retain, test = (outputs(model.model, part).numpy() for part in (split.forget, split.kept, data.test))
        rates["boosted trees"].append(success_rate(forget, retain, test))
        labels = np.concatenate([split.forget.everything().y.numpy(), data.test.everything().y.numpy()])
        both, members = np.concatenate([forget, test]), np.arange(len(labels)) < len(forget)
        for name, feature in (("loss", logistic.loss(both, labels)), ("entropy", logistic.entropy(both))):
            scores = logistic.scores(feature, members)
            rates[name].append(balanced_accuracy(scores[members], scores[~members]))
    for name, (first, *retrained) in rates.items():
        assert first.low > 0.5, (name, first)
        assert first.value > max(rate.value for rate in retrained) + 0.015, (name, first, retrained)
        for model in retrained:
            assert model.low - 0.015 < 0.5 < model.high + 0.015, (name, retrained)


@pytest.mark.usefixtures("unchecked")
def test_unusable_input_is_refused():
    good = np.zeros((4, 2))
    with pytest.raises(DataError, match="expected non-empty sets with equal features"):
        boosted_trees.scores(good, good, good[:0])
    with pytest.raises(DataError, match=r"^expected "):
        boosted_trees.scores(good, good, np.zeros((4, 3)))
    with pytest.raises(DataError, match="expected finite features"):
        boosted_trees.scores(good, np.full((4, 2), np.nan), good)
    with pytest.raises(DataError, match="expected finite logits"):
        boosted_trees.sorted_softmax(np.array([[np.nan, 0.0]]))
