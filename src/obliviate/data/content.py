"""What a sample's content says of it: an id where the user gives none, and a hash of its input that finds copies."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import torch
from jaxtyping import Shaped, UInt64
from torch import Tensor

from obliviate.types import SampleId

HASH_LENGTH: Final = 16  # hexadecimal digits: 64 bits, so that a collision among 10⁶ samples has probability 3·10⁻⁸


def content_id(x: Tensor, y: Tensor) -> SampleId:
    """Hash one sample's content (type, shape, values and label), so that the id survives any reordering of the data.

    >>> import torch
    >>> content_id(torch.zeros(1, 2, 2), torch.tensor(3))
    '937d971120484eed'
    """
    digest = hashlib.sha256()
    for part in (x, y):
        array, kind = as_array(part)
        digest.update(f"{kind}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:HASH_LENGTH]


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
