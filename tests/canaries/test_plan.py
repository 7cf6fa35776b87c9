from pathlib import Path

import pytest

from obliviate.canaries.plan import Plan
from obliviate.data.samples import Samples
from obliviate.errors import DataError, WorkspaceError


def test_tails_are_left_out_and_noise_is_planted_in_others(tiny: Samples) -> None:
    plan = Plan(tiny, seed=3, coins=20, noise=10, sigma=0.5)
    assert plan.tossed is not None
    assert plan.planted is not None
    coins = {*plan.tossed.heads, *plan.tossed.tails}
    assert set(plan.train.ids) == set(tiny.ids) - set(plan.tossed.tails)
    assert not coins & set(plan.planted.clean.ids)
    noisy = plan.train.select(plan.planted.clean.ids).everything().x
    assert noisy.equal(tiny.select(plan.planted.clean.ids).everything().x + plan.planted.values)


def test_what_was_drawn_is_a_function_of_the_seed(tiny: Samples) -> None:
    trained = [Plan(tiny, seed=seed, coins=20, noise=10).train.sha256 for seed in (0, 0, 1)]
    assert trained[0] == trained[1] != trained[2]


def test_a_folder_with_other_coins_or_noise_is_refused(tiny: Samples, tmp_path: Path) -> None:
    Plan(tiny, seed=3, coins=20, noise=10).keep(tmp_path)
    Plan(tiny, seed=3, coins=20, noise=10).keep(tmp_path)
    with pytest.raises(WorkspaceError, match=r"expected the coins that .* was made with, got others in coins\.json"):
        Plan(tiny, seed=4, coins=20).keep(tmp_path)
    with pytest.raises(WorkspaceError, match=r"expected the noise that .* was made with, got others in noise\.json"):
        Plan(tiny, seed=4, noise=10).keep(tmp_path)


def test_a_scale_without_noise_is_refused(tiny: Samples) -> None:
    with pytest.raises(DataError, match=r"expected noise to be of scale 0\.5, got none; add --noise N"):
        _ = Plan(tiny, seed=3, sigma=0.5).planted
