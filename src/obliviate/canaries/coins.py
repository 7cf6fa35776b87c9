"""Fair coins that are tossed before training: which of some samples are trained on, to be forgotten later.

They make an exact test of one unlearned model possible (`metrics.rates.coin_flip_test`), which must be planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Shaped

from obliviate._util.seeds import derive
from obliviate.errors import DataError

LEAST: Final = 5  # of fewer coins, not even all guesses being right is significant at 5 %


@dataclass(frozen=True, eq=False)
class Coins:
    """Samples by the side that their coin fell on: `heads` are trained on and then forgotten, `tails` are never seen.

    Both keep the order of the training set.
    """

    heads: Shaped[np.ndarray, " heads"]
    tails: Shaped[np.ndarray, " tails"]

    def __len__(self) -> int:
        return len(self.heads) + len(self.tails)


def toss(ids: Shaped[np.ndarray, " n"], m: int, seed: int) -> Coins:
    """Draw `m` of these ids at random and toss an independent fair coin for each; a function of the seed.

    The number of heads is Bin(m, 1/2), not half of m: halves of a fixed size are not independent. Raises DataError
    unless 5 <= m < n.

    >>> coins = toss(np.array(list("abcdefgh")), 6, seed=0)
    >>> len(coins), sorted(set(coins.heads) & set(coins.tails))
    (6, [])
    """
    if not LEAST <= m < len(ids):
        raise DataError(
            f"expected coins for {LEAST} samples or more and fewer than all {len(ids)}, got {m}; 1,000 find guesses "
            "that are right in 55 % of cases with 93 % power"
        )
    generator = np.random.default_rng(derive(seed, "coins"))
    chosen = np.sort(generator.choice(len(ids), size=m, replace=False))
    heads = generator.integers(0, 2, size=m) == 1
    return Coins(ids[chosen[heads]], ids[chosen[~heads]])
