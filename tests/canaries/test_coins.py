import numpy as np
import pytest

from obliviate.canaries.coins import toss
from obliviate.errors import DataError

IDS = np.array([f"s{i:03d}" for i in range(400)])


def test_coins_are_a_function_of_the_seed_and_keep_the_order_of_the_samples() -> None:
    first, again, other = toss(IDS, 100, 0), toss(IDS, 100, 0), toss(IDS, 100, 1)
    assert (first.heads.tolist(), first.tails.tolist()) == (again.heads.tolist(), again.tails.tolist())
    assert first.heads.tolist() != other.heads.tolist()
    for side in (first.heads, first.tails):
        assert side.tolist() == sorted(side.tolist())
    assert len(first) == len(set(first.heads) | set(first.tails)) == 100


def test_coins_are_fair_independent_and_for_random_samples() -> None:
    tossed = [toss(IDS, 100, seed) for seed in range(400)]
    heads = np.array([len(coins.heads) for coins in tossed])
    assert heads.mean() == pytest.approx(50, abs=4 * 5 / 20)  # Bin(100, 1/2) has deviation 5
    assert heads.var() == pytest.approx(25, rel=0.3)
    chosen = np.mean([np.isin(IDS, np.concatenate([coins.heads, coins.tails])) for coins in tossed], axis=0)
    assert chosen.min() > 0.15
    assert chosen.max() < 0.36


@pytest.mark.parametrize("m", [4, 400, -1])
def test_too_few_or_too_many_coins_are_refused(m: int) -> None:
    with pytest.raises(DataError, match=f"expected coins for 5 samples or more and fewer than all 400, got {m};"):
        toss(IDS, m, 0)
