import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from obliviate.errors import AuditError
from obliviate.references.plan import leave_half_out

pairs = st.integers(2, 20)
samples = st.integers(2, 60)
seeds = st.integers(0, 2**31)


@given(pairs=pairs, samples=samples, seed=seeds)
def test_every_sample_is_in_half_of_the_models_and_every_model_has_half_of_the_samples(
    pairs: int, samples: int, seed: int
) -> None:
    plan = leave_half_out(2 * pairs, samples, seed=seed)
    assert plan.shape == (2 * pairs, samples)
    assert (plan.sum(axis=0) == pairs).all()
    assert set(plan.sum(axis=1).tolist()) <= {samples // 2, samples - samples // 2}


@given(pairs=pairs, more=st.integers(1, 10), samples=samples, seed=seeds)
def test_a_plan_for_more_models_begins_with_the_plan_for_fewer(pairs: int, more: int, samples: int, seed: int) -> None:
    small, large = (leave_half_out(2 * count, samples, seed=seed) for count in (pairs, pairs + more))
    np.testing.assert_array_equal(large[: len(small)], small)


def test_the_plan_is_a_function_of_the_seed() -> None:
    np.testing.assert_array_equal(leave_half_out(4, 50, seed=1), leave_half_out(4, 50, seed=1))
    assert (leave_half_out(4, 50, seed=1) != leave_half_out(4, 50, seed=2)).any()


def test_pairs_of_models_are_independent_halves() -> None:
    plan = leave_half_out(40, 2000, seed=0)[::2].astype(float)
    correlation = np.corrcoef(plan)[~np.eye(20, dtype=bool)]
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize("models", [0, 2, 3, 5, -4])
def test_a_number_of_models_that_cannot_be_balanced_is_refused(models: int) -> None:
    with pytest.raises(AuditError, match=f"expected an even number of reference models, at least 4, got {models}; "):
        leave_half_out(models, 10, seed=0)


@given(pairs=pairs, owners=st.lists(st.integers(0, 9), min_size=2, max_size=80), seed=seeds)
def test_a_group_is_wholly_in_half_of_the_models_and_halves_differ_by_one_group_at_most(
    pairs: int, owners: list[int], seed: int
) -> None:
    groups = np.array(owners)
    plan = leave_half_out(2 * pairs, len(groups), seed=seed, groups=groups)
    assert (plan.sum(axis=0) == pairs).all()
    for group in np.unique(groups):
        members = plan[:, groups == group]
        assert (members.all(axis=1) | ~members.any(axis=1)).all()
    largest = np.unique(groups, return_counts=True)[1].max()
    assert (np.abs(2 * plan.sum(axis=1) - len(groups)) <= largest).all()


def test_groups_are_is_known_of_who_belongs_together_and_not_by_their_names() -> None:
    numbers, letters = np.array([0, 1, 0, 2, 1, 2]), np.array(list("abacbc"))
    plans = [leave_half_out(4, 6, seed=3, groups=groups) for groups in (numbers, letters)]
    np.testing.assert_array_equal(plans[0], plans[1])
