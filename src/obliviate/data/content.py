"""What a sample's content says of it: an id where the user gives none, and a hash of its input that finds copies."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import torch
from jaxtyping import Shaped, UInt8, UInt64
from torch import Tensor

from obliviate.types import SampleId

CONTENT_BYTES: Final = 16
HASH_LENGTH: Final = 16  # hexadecimal digits: 64 bits, so that a collision among 10⁶ samples has probability 3·10⁻⁸


def content_id(x: Tensor, y: Tensor) -> SampleId:
    """Hash one sample's content (type, shape, values and label), so that the id survives any reordering of the data.

    >>> import torch
    >>> content_id(torch.zeros(1, 2, 2), torch.tensor(3))
    '937d971120484eed'
    """
    return content_hashes(x[None], y[None])[0].tobytes().hex()[:HASH_LENGTH]


def content_hashes(x: Shaped[Tensor, " n ..."], y: Shaped[Tensor, " n ..."]) -> UInt8[np.ndarray, "n 16"]:
    """Hash each sample's content to 128 bits, of which the first half is its `content_id`.

    >>> import torch
    >>> content_hashes(torch.zeros(2, 1, 2, 2), torch.tensor([3, 3]))[1].tobytes().hex()[:16]
    '937d971120484eed'
    """
    (inputs, input_kind), (targets, target_kind) = (as_array(part) for part in (x, y))
    shared = hashlib.sha256(f"{input_kind}{inputs.shape[1:]}".encode())
    between = f"{target_kind}{targets.shape[1:]}".encode()
    hashes = bytearray()
    for row, target in zip(_bytes(inputs), _bytes(targets), strict=True):
        digest = shared.copy()
        digest.update(row)
        digest.update(between)
        digest.update(target)
        hashes += digest.digest()[:CONTENT_BYTES]
    return np.frombuffer(bytes(hashes), dtype=np.uint8).reshape(len(inputs), CONTENT_BYTES)


def content_ids(hashes: UInt8[np.ndarray, "n 16"]) -> list[SampleId]:
    """The ids that `content_hashes` begin with, one a sample."""
    whole, width = hashes[:, : HASH_LENGTH // 2].tobytes().hex(), HASH_LENGTH
    return [whole[start : start + width] for start in range(0, len(whole), width)]


def as_array(part: Tensor) -> tuple[Shaped[np.ndarray, ...], str]:
    """Return the numbers of a tensor and what their type is called, also of a type that numpy does not have.

    >>> as_array(torch.zeros(2, dtype=torch.bfloat16))
    (array([0, 0], dtype=int16), 'bfloat16')
    """
    held = part.detach().cpu().contiguous()
    if held.dtype == torch.bfloat16:
        return held.view(torch.int16).numpy(), "bfloat16"
    array = held.numpy()
    return array, array.dtype.str


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


def _bytes(array: Shaped[np.ndarray, " n ..."]) -> Shaped[np.ndarray, "n size"]:
    """The bytes of each row."""
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8).reshape(len(array), -1)
