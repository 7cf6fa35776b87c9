"""Stable sample ids: unique, comparable as sets, and shown in messages; without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Int64, Shaped, UInt64

from obliviate._util.words import shown
from obliviate.errors import DataError

Names: TypeAlias = Shaped[np.ndarray, " n"]
"""`obliviate.types.Ids`, which that module cannot give without torch."""
COMMON: Final = 0.05  # share of inputs that have an equal one, from which on equal inputs are no sign of copying


def distinct(hashes: Iterable[str]) -> Names:
    """Number the second and later copies of the same content ("ab12…", "ab12…-2"), so that every id is unique.

    >>> distinct(["a", "b", "a"]).tolist()
    ['a', 'b', 'a-2']
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
    if isinstance(ids, np.ndarray) and ids.dtype.kind == "U" and ids.ndim == 1:
        array = np.array(ids)
    else:
        texts = [str(sample_id) for sample_id in ids]
        if any(text.endswith("\0") for text in texts):  # which an array of texts drops
            raise DataError(f"expected {what} without a NUL at their end, got one; rename the sample")
        array = np.array(texts, dtype=np.str_)
    if len(repeated := Places(array).repeated):
        raise DataError(f"expected {what} without duplicates, got {shown(repeated)} more than once; list every id once")
    return array


class Places:
    """Where each of many names stands: ten million are sorted and found in seconds, as numbers that are made of them.

    Names of one number are told apart by their text.

    >>> places = Places(np.array(["a", "b", "c"]))
    >>> places.of(np.array(["c", "x", "a"])).tolist()
    [2, -1, 0]
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        keys = _keys(names)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    @property
    def repeated(self) -> Names:
        """The names that stand in more than one place, each once, in the order of the alphabet."""
        same = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        suspects = self._names[self._order[np.union1d(same, same + 1)]]
        unique, counts = np.unique(suspects, return_counts=True)
        return unique[counts > 1]

    def of(self, names: Names) -> Int64[np.ndarray, " n"]:
        """The place of each name, −1 for names that are not there."""
        keys, rows = _keys(names), np.full(len(names), -1, dtype=np.int64)
        sought = np.argsort(keys)  # in whose order the sorted numbers are gone through once, and not at random
        at = np.searchsorted(self._keys, keys[sought])
        while len(sought):
            within = at < len(self._keys)
            within[within] = self._keys[at[within]] == keys[sought[within]]
            sought, at = sought[within], at[within]
            places = self._order[at]
            same = self._names[places] == names[sought]
            rows[sought[same]] = places[same]
            sought, at = sought[~same], at[~same] + 1  # another name of the same number
        return rows


def common(names: Names, others: Shaped[np.ndarray, " _"]) -> Shaped[np.ndarray, " _"]:
    """The names that are among the others too, in the order of the alphabet.

    >>> common(np.array(["c", "a", "b"]), np.array(["b", "c"])).tolist()
    ['b', 'c']
    """
    few, many = sorted((names, others), key=len)
    places = Places(few).of(many)
    return np.unique(few[places[places >= 0]])


CHARACTERS: Final = np.frombuffer(hashlib.shake_256(b"names").digest(8 * 4096), dtype="<u8").astype(np.uint64) | 1
"""What the character at each place of a name counts in its number; longer names use them again."""
ROWS: Final = 2**12  # names whose numbers are made together


def _keys(names: Names) -> UInt64[np.ndarray, " n"]:
    """A number of each name, which hardly two names share; what an array fills names up with plays no part."""
    names = np.ascontiguousarray(names, dtype=names.dtype.newbyteorder("="))
    width = names.dtype.itemsize // 4
    keys = np.zeros(len(names), dtype=np.uint64)
    if not width:
        return keys
    characters = names.view(np.uint32).reshape(len(names), width)
    for start in range(0, len(names), ROWS):
        part = characters[start : start + ROWS].T.astype(np.uint64)
        for place, column in enumerate(part):
            keys[start : start + ROWS] += column * CHARACTERS[place % len(CHARACTERS)]
    return keys


def ids_sha256(ids: Iterable[str] | Names) -> str:
    """Hash a set of ids, in whatever order.

    >>> ids_sha256(["b", "a"]) == ids_sha256(np.array(["a", "b"])) != ids_sha256(["a"])
    True
    """
    return hashlib.sha256(json.dumps(sorted(str(sample_id) for sample_id in ids)).encode()).hexdigest()
