"""Stable sample ids: a user's key, or the hash of the sample's content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Shaped, UInt64
from torch import Tensor

from obliviate.errors import DataError
from obliviate.types import Ids, SampleId

HASH_LENGTH = 16  # hexadecimal digits: 64 bits, so that a collision among 10⁶ samples has probability 3·10⁻⁸
COMMON: Final = 0.05  # share of inputs that have an equal one, from which on equal inputs are no sign of copying


def content_id(x: Tensor, y: Tensor) -> SampleId:
    """Hash one sample's content (type, shape, values and label), so that the id survives any reordering of the data.

    >>> import torch
    >>> content_id(torch.zeros(1, 2, 2), torch.tensor(3))
    '937d971120484eed'
    """
    digest = hashlib.sha256()
    for part in (x, y):
        array = part.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:HASH_LENGTH]


def distinct(hashes: Iterable[SampleId]) -> Ids:
    """Number the second and later copies of the same content ("ab12…", "ab12…-2"), so that every id is unique.

    >>> list(distinct(["a", "b", "a"]))
    [np.str_('a'), np.str_('b'), np.str_('a-2')]
    """
    seen: dict[SampleId, int] = {}
    result = []
    for name in hashes:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return np.array(result, dtype=np.str_)


def input_hashes(x: Shaped[Tensor, " n ..."]) -> UInt64[np.ndarray, " n"]:
    """Hash each input bit for bit, whatever its label, to 64 bits: equal hashes are copies.

    >>> import torch
    >>> first, second, copy = input_hashes(torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
    >>> bool(first == copy), bool(first == second)
    (True, False)
    """
    array = x.detach().cpu().contiguous().flatten(1) if x.ndim > 1 else x.detach().cpu()[:, None]
    digests = [hashlib.blake2b(row, digest_size=8).digest() for row in array.view(torch.uint8).numpy()]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def naturally_alike(hashes: UInt64[np.ndarray, " n"]) -> bool:
    """Whether more than one input in twenty has an equal one, as rows of few categories have by chance.

    Equal inputs are no sign then that one was copied from another.

    >>> naturally_alike(np.array([1, 1, 2], dtype=np.uint64)), naturally_alike(np.arange(9, dtype=np.uint64))
    (True, False)
    """
    counts = np.unique(hashes, return_counts=True)[1]
    return bool(counts[counts > 1].sum() > COMMON * len(hashes))


def as_ids(ids: Iterable[SampleId] | Ids, *, what: str) -> Ids:
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


def ids_sha256(ids: Iterable[SampleId] | Ids) -> str:
    """Hash a set of ids, in whatever order.

    >>> ids_sha256(["b", "a"]) == ids_sha256(np.array(["a", "b"])) != ids_sha256(["a"])
    True
    """
    return hashlib.sha256(json.dumps(sorted(str(sample_id) for sample_id in ids)).encode()).hexdigest()


def shown(ids: Sequence[SampleId] | Ids, most: int = 3) -> str:
    """Quote a few ids for a message.

    >>> shown(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    text = ", ".join(repr(str(sample_id)) for sample_id in ids[:most])
    return text if len(ids) <= most else f"{text} and {len(ids) - most} more"
