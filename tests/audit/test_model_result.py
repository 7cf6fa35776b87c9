"""What results say of one model."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSettings, Candidate
from obliviate.membership import rmia
from obliviate.membership.moments import Moments
from obliviate.metrics.intervals import delong
from obliviate.results.model import ModelResult
from simulated_models import FORGET, RETAIN, SIZE, UNSEEN, World, indicator


def test_figures_are_percent_of_the_right_samples(
    world: World, candidates: list[Candidate], models: dict[str, ModelResult]
):
    original = candidates[0]
    predicted = original.logits.argmax(axis=1)
    for name, part in {"forget": FORGET, "retain": RETAIN, "test": UNSEEN}.items():
        expected = 100 * accuracy_score(world.labels[part], predicted[part])
        share = getattr(models["original"].accuracy, name)
        assert share.value == pytest.approx(expected)
        assert share.low < expected < share.high

    points = np.concatenate([FORGET, RETAIN, UNSEEN])
    scores = np.full(SIZE, np.nan)
    scores[points] = rmia.online(
        rmia.confidence(original.logits[points], world.labels[points]),
        Moments.of(
            rmia.confidence(np.stack(world.pool.logits)[:, points], world.labels[points]),
            world.pool.included[:, points],
        ),
        np.arange(1600, 2400),
    )
    for game, (members, others) in {"ft": (FORGET, UNSEEN), "fr": (RETAIN, FORGET), "rt": (RETAIN, UNSEEN)}.items():
        share = getattr(models["original"].attacks["rmia"], game)
        truth = np.repeat([1, 0], [len(members), len(others)])
        assert share.value == pytest.approx(100 * roc_auc_score(truth, np.r_[scores[members], scores[others]]))
        interval = delong(scores[members], scores[others], confidence=0.95)
        assert (share.low, share.high) == pytest.approx((100 * interval.low, 100 * interval.high))


def test_differences_and_gaps_are_taken_from_the_other_retrained_models(models: dict[str, ModelResult]):
    def figures(name: str) -> np.ndarray:
        model = models[name]
        return np.array([*(share.value for _, share in model.accuracy), model.attacks["rmia"].ft.value])

    for name, others in {
        "perfect": ["retrain 0", "retrain 1", "retrain 2"],
        "retrain 1": ["retrain 0", "retrain 2"],
    }.items():
        gap = figures(name) - np.mean([figures(other) for other in others], axis=0)
        assert models[name].differences["rmia"].value == pytest.approx(gap[3])
        assert models[name].test_accuracy_difference.value == pytest.approx(gap[2])
        # Guessing "member" where the model is right has an AUC of one half plus half the difference of accuracies.
        assert models[name].differences["correctness"].value == pytest.approx((gap[0] - gap[2]) / 2)
        assert models[name].average_gap == pytest.approx(np.abs(gap).mean())


def test_time_is_a_share_of_the_median_retraining(models: dict[str, ModelResult]):
    assert models["perfect"].share_of_retraining == pytest.approx(4 / 40)
    assert models["overdone"].share_of_retraining is None


def test_what_is_known_of_a_forgotten_class_is_told_beside_the_retrained_models(
    world: World, candidates: list[Candidate], models: dict[str, ModelResult]
):
    assert all(model.class_membership is None for model in models.values())  # of no class all samples are forgotten
    trained_on = np.concatenate([FORGET, RETAIN])
    of_class, retain = (trained_on[(world.labels[trained_on] == 2) == gone] for gone in (True, False))
    samples = replace(world.samples, forget=of_class, retain=retain)
    original = world.candidate("original", "original", world.train(indicator(of_class, retain)))
    retrained = [world.candidate(f"retrain {seed}", "retrained", world.train(indicator(retain))) for seed in range(3)]
    result = audit([original, *retrained], world.pool, samples, AuditSettings())
    shares = [model.class_membership for model in result.models]
    assert all(share is not None and 0 <= share.low <= share.value <= share.high <= 100 for share in shares)
    without = audit(retrained, world.pool, samples, AuditSettings())
    assert all(model.class_membership is None for model in without.models)  # there is no original
