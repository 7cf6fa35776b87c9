import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.errors import DataError
from obliviate.metrics.memorisation import largest, memorisation, out_of_sample
from obliviate.references.plan import leave_half_out


def test_of_what_only_members_know_it_is_one_and_of_what_all_know_zero():
    included = leave_half_out(8, 5, seed=0)
    right = np.stack([included[:, 0], np.ones(8), np.zeros(8), ~included[:, 3], included[:, 4]], axis=1).astype(float)
    assert memorisation(right, included).tolist() == [1, 0, 0, -1, 1]
    assert out_of_sample(right, included).tolist() == [0, 1, 0, 1, 0]


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), pairs=st.integers(2, 6), n=st.integers(1, 12))
def test_it_is_the_difference_of_two_means(seed: int, pairs: int, n: int):
    generator = np.random.default_rng(seed)
    included, values = leave_half_out(2 * pairs, n, seed=seed), generator.normal(size=(2 * pairs, n))
    for sample in range(n):
        inside = [values[model, sample] for model in range(2 * pairs) if included[model, sample]]
        outside = [values[model, sample] for model in range(2 * pairs) if not included[model, sample]]
        assert out_of_sample(values, included)[sample] == pytest.approx(sum(outside) / pairs)
        expected = sum(inside) / pairs - sum(outside) / pairs
        assert memorisation(values, included)[sample] == pytest.approx(expected)


def test_it_is_unbiased_and_its_error_is_within_the_bound():
    """Models that saw a sample get it right with probability 0.9, others with 0.3: the memorisation is 0.6."""
    generator, n, models = np.random.default_rng(0), 20_000, 16
    included = leave_half_out(models, n, seed=0)
    right = generator.random((models, n)) < np.where(included, 0.9, 0.3)
    scores = memorisation(right.astype(float), included)
    assert scores.mean() == pytest.approx(0.6, abs=4 * 0.25 / np.sqrt(n))
    assert scores.std() == pytest.approx(np.sqrt(0.9 * 0.1 / 8 + 0.3 * 0.7 / 8), rel=0.03)
    assert scores.std() <= np.sqrt(1 / 32 + 1 / 32)


def test_ties_go_to_the_larger_margin_then_to_the_lower_place():
    scores, ties = np.array([0.0, 1.0, 0.5, 0.5, 0.5, 1.0]), np.array([9.0, 1.0, 2.0, 3.0, 3.0, 1.0])
    assert largest(scores, ties, 6).tolist() == [1, 5, 3, 4, 2, 0]
    assert largest(scores, ties, 2).tolist() == [1, 5]


@pytest.mark.parametrize("column", [[True] * 4, [False] * 4])
def test_a_sample_that_all_or_no_models_saw_is_refused(column: list[bool]):
    included = leave_half_out(4, 3, seed=0)
    included[:, 1] = column
    for estimate in (memorisation, out_of_sample):
        with pytest.raises(DataError, match=r"^expected models that were trained on each sample and .*, got "):
            estimate(np.zeros((4, 3)), included)


def test_values_and_plan_must_fit(unchecked: None):
    with pytest.raises(
        DataError, match=r"^expected one value a model and sample, got \(4, 2\) for a plan of \(4, 3\);"
    ):
        memorisation(np.zeros((4, 2)), leave_half_out(4, 3, seed=0))
