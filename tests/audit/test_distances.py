import numpy as np
import pytest

from obliviate.audit.distances import klom_of_shadows, to_retrained
from obliviate.errors import DataError

PARTS = {"forget": np.arange(3), "retain": np.arange(3, 8), "unseen": np.arange(8, 10)}


def test_a_model_is_at_no_distance_from_itself() -> None:
    logits = np.random.default_rng(0).normal(size=(10, 4))
    for part in to_retrained(logits, [logits, logits], PARTS).model_dump().values():
        assert part == pytest.approx({"js": 0.0, "softmax": 0.0, "agreement": 1.0}, abs=1e-7)


def test_a_part_is_measured_on_its_own_samples() -> None:
    logits = np.random.default_rng(0).normal(size=(10, 4))
    other = logits.copy()
    other[PARTS["forget"]] *= -1
    distances = to_retrained(logits, [other], PARTS)
    assert distances.forget.js > 0.05
    assert distances.forget.agreement == 0.0
    assert (distances.retain.agreement, distances.unseen.agreement) == (1.0, 1.0)


def test_shadows_that_forgot_nothing_lie_far_above_the_floor() -> None:
    random = np.random.default_rng(0)
    included = np.array([random.permutation(64) < 32 for _ in range(40)]).T
    alike = random.normal(size=included.shape)
    klom = klom_of_shadows(alike + 4 * included, included)
    forgotten = klom_of_shadows(alike, included)
    assert klom.unlearned.p50 > klom.floor.p99
    assert forgotten.unlearned.p50 < 2 * forgotten.floor.p50


def test_too_few_shadows_are_refused() -> None:
    with pytest.raises(DataError, match="expected every sample in 1 shadow and out of 2, got 2 shadows; make more"):
        klom_of_shadows(np.zeros((2, 3)), np.array([[True] * 3, [False] * 3]))
