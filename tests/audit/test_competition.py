"""The score of the NeurIPS 2023 competition from shadows: against its parts, and where it would mean nothing."""

import numpy as np
import pytest

from obliviate.audit.competition import LEAST, of_shadows
from obliviate.metrics.distance import neurips_score


@pytest.fixture(scope="module")
def included() -> np.ndarray:
    """Of 64 shadows, each sample in a random half."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(64) < 32 for _ in range(12)], axis=1)


def test_figures_are_those_of_the_groups_sample_by_sample(included: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    margins = rng.normal(size=included.shape) + included
    accuracies = {"retain_accuracy": (0.9, 0.95), "test_accuracy": (0.6, 0.8)}
    had, never, others = ([], [], [])
    for column, inside in zip(margins.T, included.T, strict=True):
        had.append(column[inside][::-1][:16])
        never.append(column[~inside][:16])
        others.append(column[~inside][16:])
    groups = [np.array(group).T for group in (had, never, others)]
    figures = of_shadows(margins, included, utility=0.9 / 0.95 * 0.6 / 0.8)
    assert figures.models == 16
    assert figures.score == pytest.approx(neurips_score(groups[0], groups[1], **accuracies))
    equal = {"retain_accuracy": (1.0, 1.0), "test_accuracy": (1.0, 1.0)}
    assert figures.quality == pytest.approx(neurips_score(groups[0], groups[1], **equal))
    assert figures.floor == pytest.approx(neurips_score(groups[2], groups[1], **equal))


def test_a_method_that_forgets_is_at_the_floor_and_one_that_does_not_is_below(included: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    noise = 2 * rng.normal(size=included.shape)
    forgetful, mindful = (of_shadows(noise + 6 * gap * included, included, utility=None) for gap in (0, 1))
    assert forgetful.quality is not None
    assert mindful.quality is not None
    assert forgetful.floor == mindful.floor is not None
    assert forgetful.quality == pytest.approx(forgetful.floor, abs=0.1)
    assert mindful.quality < 0.25 * forgetful.quality
    assert forgetful.score is None


def test_too_few_shadows_give_no_figure(included: np.ndarray) -> None:
    few = included[:62]
    figures = of_shadows(np.zeros(few.shape), few, utility=1.0)
    assert figures.models < LEAST
    assert (figures.shadows_needed, figures.quality, figures.floor, figures.score) == (64, None, None, None)
