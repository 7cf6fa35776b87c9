"""Which sample is in which shard and slice, and how much of a training in shards a request repeats; without torch.

Bourtoule et al., "Machine Unlearning", IEEE S&P 2021, arXiv 1912.03817, sections IV and V.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Int, Shaped

from obliviate._util.seeds import derive

Places = Int[np.ndarray, " n"]


def assign(ids: Shaped[np.ndarray, " n"], *, shards: int, slices: int, seed: int) -> tuple[Places, Places]:
    """Give every id its shard and its slice by a hash of (seed, id), so that no id moves when others go.

    >>> whole = assign(np.array(["a", "b", "c"]), shards=5, slices=10, seed=0)
    >>> part = assign(np.array(["c"]), shards=5, slices=10, seed=0)
    >>> (whole[0][2], whole[1][2]) == (part[0][0], part[1][0])
    True
    """
    drawn = [divmod(derive(seed, "shard", str(sample_id)), shards) for sample_id in ids]
    return np.array([shard for _, shard in drawn], int), np.array([rest % slices for rest, _ in drawn], int)


def slice_epochs(epochs: int, slices: int) -> tuple[int, ...]:
    """Spread a recipe's epochs over the slices: how often the union of slices 1 … r is passed over, for each r.

    Bourtoule et al., section V-B: 2e/(R+1) each, so that with equal slices as many samples are visited as in e epochs
    over the whole shard. Whole numbers are chosen in order so that the visits up to each slice are as near as they can
    be; the last slice gets one epoch at least, as it would never be seen otherwise.

    >>> slice_epochs(20, 1), slice_epochs(20, 4), slice_epochs(20, 10)
    ((20,), (8, 8, 8, 8), (4, 3, 4, 4, 3, 4, 4, 3, 4, 3))
    """
    share, per_slice, visits = 2 * epochs / (slices + 1), [], 0
    for r in range(1, slices + 1):
        wanted = share * r * (r + 1) / 2
        per_slice.append(max(int((wanted - visits) / r + 0.5), 1 if r == slices else 0))
        visits += r * per_slice[-1]
    return tuple(per_slice)


def visits_share(
    ids: Sequence[str], forget: Collection[str], *, shards: int, slices: int, epochs: int, seed: int
) -> tuple[float, int]:
    """The share of a training on what is left of `ids` that is repeated to forget some of them, and in how many shards.

    The share is of samples visited, in [0, 1]: what SISA reports as "visits_share".

    >>> ids = [str(number) for number in range(1000)]
    >>> share, touched = visits_share(ids, {"7"}, shards=5, slices=1, epochs=20, seed=0)
    >>> round(share, 1), touched
    (0.2, 1)
    """
    shard_of, slice_of = assign(np.array(ids), shards=shards, slices=slices, seed=seed)
    gone = np.array([id_ in forget for id_ in ids])
    per_slice = np.array(slice_epochs(epochs, slices))
    total = repeated = 0
    touched = set(shard_of[gone].tolist())
    for shard in range(shards):
        here = shard_of == shard
        counts = np.bincount(slice_of[here & ~gone], minlength=slices)
        visits = per_slice * np.cumsum(counts)
        total += int(visits.sum())
        if shard in touched:
            repeated += int(visits[slice_of[here & gone].min() :].sum())
    return (repeated / total if total else 0.0), len(touched)


def expected_repetition(forget: int, *, shards: int, slices: int, epochs: int) -> tuple[float, float]:
    """What forgetting so many samples at random repeats of a training in shards: its share, and how many slices.

    A sample is in each of the S·R places with the same chance, so that nothing in the first r slices of a shard goes
    with (1 − r/(S R))^k. The share is of samples visited, in [0, 1], as `visits_share` counts them; the second is of
    all stages, from 0 to S·R. For training sets that are large beside k and S·R.

    >>> [round(value, 3) for value in expected_repetition(1, shards=5, slices=1, epochs=20)]
    [0.2, 1.0]
    >>> [round(value, 3) for value in expected_repetition(1, shards=5, slices=10, epochs=20)]
    [0.138, 5.5]
    """
    up_to = np.arange(1, slices + 1)
    touched = 1 - (1 - up_to / (shards * slices)) ** forget
    visits = np.array(slice_epochs(epochs, slices)) * up_to
    return float(visits @ touched / visits.sum()), float(shards * touched.sum())
