"""Which sample is in which shard and slice, and what a request repeats of a training in shards."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obliviate.data.samples import Samples
from obliviate.training.recipe import Recipe
from obliviate.training.shards import plan
from obliviate.training.slicing import assign, slice_epochs, visits_share


def test_every_part_gets_its_share_of_the_ids() -> None:
    shard, part = assign(np.array([f"id{i}" for i in range(5000)]), shards=5, slices=10, seed=0)
    counts = np.histogram2d(shard, part, bins=[np.arange(6), np.arange(11)])[0]
    # 100 in each of 50 cells: χ² with 49 degrees of freedom is below 86 with probability 0.999
    assert ((counts - 100) ** 2 / 100).sum() < 86


def test_a_sample_stays_where_it_is_when_others_go_and_moves_with_the_seed() -> None:
    ids = np.array([f"id{i}" for i in range(200)])
    whole = np.stack(assign(ids, shards=4, slices=3, seed=7))
    assert np.array_equal(whole[:, ::2], np.stack(assign(ids[::2], shards=4, slices=3, seed=7)))
    assert np.array_equal(whole[:, ::-1], np.stack(assign(ids[::-1], shards=4, slices=3, seed=7)))
    assert (whole != np.stack(assign(ids, shards=4, slices=3, seed=8))).any(0).mean() > 0.8


@given(epochs=st.integers(1, 60), slices=st.integers(1, 30))
def test_as_many_samples_are_visited_as_without_slices(epochs: int, slices: int) -> None:
    given_epochs = slice_epochs(epochs, slices)
    visits = sum(r * n for r, n in enumerate(given_epochs, start=1)) / slices  # in passes over the shard
    assert len(given_epochs) == slices
    assert min(given_epochs) >= 0
    assert given_epochs[-1] >= 1
    assert abs(visits - epochs) <= (0.5 if min(given_epochs) > 0 else 1.0)


@pytest.mark.parametrize("forget", [["s03"], ["s03", "s04", "s20"], [f"s{place:02d}" for place in range(30)]])
def test_the_share_that_a_request_repeats_is_that_of_the_stages_that_see_other_samples(
    tiny: Samples, tiny_recipe: Recipe, forget: list[str]
) -> None:
    recipe = replace(tiny_recipe, shards=3, slices=2, batch_size=4)
    unchanged = {stage.digest for row in plan(tiny, recipe, seed=5) for stage in row}
    stages = [stage for row in plan(tiny.without(forget), recipe, seed=5) for stage in row]
    repeated = [stage for stage in stages if stage.digest not in unchanged]
    share, shards = visits_share(tiny.ids.tolist(), set(forget), shards=3, slices=2, epochs=recipe.epochs, seed=5)
    assert share == sum(stage.visits for stage in repeated) / sum(stage.visits for stage in stages)
    assert shards == len({stage.shard for stage in repeated})
