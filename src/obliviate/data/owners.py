"""Draws that keep what is of one owner together, so that nobody is both trained on and counted as unseen."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Int, Shaped

from obliviate.data.predicate import plain

FEWEST: Final = 10  # owners that can be told apart by a draw
NOBODY: Final = ""  # samples without an owner have nothing in common


def named(column: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Owners as texts, whatever they were given as."""
    return plain(column).astype(np.str_)


def groups(owners: Shaped[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Number the owners, from 0; samples of nobody have a number each.

    >>> groups(np.array(["bob", "", "ann", "", "bob"])).tolist()
    [1, 2, 0, 3, 1]
    """
    texts = named(owners)
    nobody = texts == NOBODY
    numbers = np.zeros(len(texts), dtype=np.int64)
    names, numbers[~nobody] = np.unique(texts[~nobody], return_inverse=True)
    numbers[nobody] = len(names) + np.arange(nobody.sum())
    return numbers


def inseparable(owners: Shaped[np.ndarray, " n"]) -> str | None:
    """Say why a draw cannot keep owners together: they are few, or one has most of the samples; None if it can."""
    counts = np.bincount(groups(owners))
    if len(counts) < FEWEST:
        return f"there are only {len(counts)} owners"
    if 2 * counts.max() > len(owners):
        return f"one owner has {counts.max():,} of {len(owners):,}"
    return None


def drawn_whole(
    owners: Shaped[np.ndarray, " n"], count: int, generator: np.random.Generator
) -> Int[np.ndarray, " drawn"]:
    """Draw whole owners until about `count` of their samples are drawn, and return the places of these, in order.

    >>> owners = np.array(list("aabbccddeeffgghhiijj"))
    >>> "".join(owners[drawn_whole(owners, 6, np.random.default_rng(0))])
    'cceegg'
    """
    numbers = groups(owners)
    order = generator.permutation(numbers.max() + 1)
    sizes = np.bincount(numbers)[order].cumsum()
    last = int(np.abs(sizes[:-1] - count).argmin())
    return np.flatnonzero(np.isin(numbers, order[: last + 1]))


def draw_note(
    part: str, kept: Shaped[np.ndarray, " kept"], drawn: Shaped[np.ndarray, " drawn"], reason: str | None
) -> str:
    """Say how a part was drawn from samples with owners: `reason` is why not by owner, if it was not."""
    whose = np.unique(named(drawn))
    both = np.intersect1d(whose[whose != NOBODY], named(kept))
    if reason is None:
        return f"{part}: {len(whose):,} owners drawn, with all that is theirs"
    return (
        f"{part}: drawn without regard to owners, for {reason}: {len(both):,} of the {len(whose):,} owners there are "
        "trained on as well, so that what is unseen of them is like what was seen"
    )
