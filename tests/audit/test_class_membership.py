"""What models still know of a class that was forgotten as a whole."""

import numpy as np
import pytest

from obliviate.audit.class_membership import LEAST, class_membership, forgotten_classes

N, CLASSES, GONE = 200, 6, np.array([5])


class World:
    """What simulated models say of samples of class 5, each of which resembles one of the others.

    A model that had the class is sure of it and says little of the others; one that had not takes a sample for what it
    resembles. Every model has a noise and a taste of its own.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.resembles = np.eye(CLASSES)[self.rng.integers(0, CLASSES - 1, N)]

    def model(self, *, had: bool) -> np.ndarray:
        strength, taste = 0.8 if had else 3.0, self.rng.normal(0, 0.3, CLASSES)
        logits = strength * self.resembles + taste + self.rng.normal(0, 0.7, (N, CLASSES))
        logits[:, GONE] = 6.0 if had else -6.0
        return logits.astype(np.float32)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def original(world: World) -> np.ndarray:
    return world.model(had=True)


@pytest.fixture(scope="module")
def retrained(world: World) -> list[np.ndarray]:
    return [world.model(had=False) for _ in range(3)]


def share(model: np.ndarray, original: np.ndarray, retrained: list[np.ndarray]) -> float:
    interval = class_membership(model, original, retrained, GONE)
    assert interval is not None
    assert interval.low <= interval.value <= interval.high
    return interval.value


def test_models_that_had_the_class_are_told_and_an_independent_retrain_is_not(
    world: World, original: np.ndarray, retrained: list[np.ndarray]
):
    among = [share(own, original, [other for other in retrained if other is not own]) for own in retrained]
    assert max(among) < 0.3
    assert share(original, original, retrained) > 0.7
    assert share(world.model(had=True), original, retrained) > 0.7
    assert share(world.model(had=False), original, retrained) < 0.3


def test_a_model_that_is_only_kept_from_naming_the_class_is_told(original: np.ndarray, retrained: list[np.ndarray]):
    masked = original.copy()
    masked[:, GONE] = -1e4  # forget accuracy is that of a retrained model
    assert share(masked, original, retrained) == share(original, original, retrained)


def test_a_model_that_takes_all_samples_for_nothing_is_told(original: np.ndarray, retrained: list[np.ndarray]):
    flat = np.random.default_rng(1).normal(0, 0.01, (N, CLASSES)).astype(np.float32)
    assert share(flat, original, retrained) > 0.7


@pytest.mark.parametrize("missing", ["samples", "classes", "retrained models"])
def test_nothing_is_said_where_too_little_is_there(missing: str):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(LEAST - (missing == "samples"), 2 if missing == "classes" else 4))
    retrained = [] if missing == "retrained models" else [logits + 1, logits - 1]
    assert class_membership(logits, logits, retrained, np.array([0])) is None


def test_classes_of_which_some_sample_is_retained_are_not_forgotten():
    assert forgotten_classes(np.array([0, 1, 1]), np.array([0, 2])).tolist() == [1]
    assert forgotten_classes(np.array([0, 1]), np.array([0, 1])).tolist() == []
