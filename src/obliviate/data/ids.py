"""Stable sample ids: unique, comparable as sets, and shown in messages; without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Shaped, UInt64

from obliviate._util.words import shown
from obliviate.errors import DataError

Names: TypeAlias = Shaped[np.ndarray, " n"]
"""`obliviate.types.Ids`, which that module cannot give without torch."""
COMMON: Final = 0.05  # share of inputs that have an equal one, from which on equal inputs are no sign of copying


def distinct(hashes: Iterable[str]) -> Names:
    """Number the second and later copies of the same content ("ab12…", "ab12…-2"), so that every id is unique.

    >>> list(distinct(["a", "b", "a"]))
    [np.str_('a'), np.str_('b'), np.str_('a-2')]
    """
    seen: dict[str, int] = {}
    result = []
    for name in hashes:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return np.array(result, dtype=np.str_)


def naturally_alike(hashes: UInt64[np.ndarray, " n"]) -> bool:
    """Whether more than one input in twenty has an equal one, as rows of few categories have by chance.

    Equal inputs are no sign then that one was copied from another.

    >>> naturally_alike(np.array([1, 1, 2], dtype=np.uint64)), naturally_alike(np.arange(9, dtype=np.uint64))
    (True, False)
    """
    counts = np.unique(hashes, return_counts=True)[1]
    return bool(counts[counts > 1].sum() > COMMON * len(hashes))


def as_ids(ids: Iterable[str] | Names, *, what: str) -> Names:
    """Make an id array of what the user gave; raises DataError for duplicates, and for ids that end with a NUL."""
    texts = [str(sample_id) for sample_id in ids]
    if any(text.endswith("\0") for text in texts):  # which an array of texts drops
        raise DataError(f"expected {what} without a NUL at their end, got one; rename the sample")
    array = np.array(texts, dtype=np.str_)
    unique, counts = np.unique(array, return_counts=True)
    if len(unique) != len(array):
        raise DataError(
            f"expected {what} without duplicates, got {shown(unique[counts > 1])} more than once; list every id once"
        )
    return array


def ids_sha256(ids: Iterable[str] | Names) -> str:
    """Hash a set of ids, in whatever order.

    >>> ids_sha256(["b", "a"]) == ids_sha256(np.array(["a", "b"])) != ids_sha256(["a"])
    True
    """
    return hashlib.sha256(json.dumps(sorted(str(sample_id) for sample_id in ids)).encode()).hexdigest()
