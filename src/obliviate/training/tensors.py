"""Tensors in a safetensors file that holds its own hash, so that readers notice every bit that has changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from obliviate._util.files import SEAL, shortened_apart, write_atomically
from obliviate.errors import CheckpointError


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash tensors: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors and facts about them, with a hash of both in the file's head, atomically."""
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    head = {**facts, SEAL: _seal(whole, facts)}
    write_atomically(path, lambda temporary: save_file(whole, temporary, head))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote; raises CheckpointError for a missing or damaged file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tensors(Path(folder) / "a.safetensors", {"mask": torch.tensor([True, False])}, {"seconds": "1"})
    ...     load_tensors(Path(folder) / "a.safetensors")
    ({'mask': tensor([ True, False])}, {'seconds': '1'})
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
        tensors = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"expected tensors in {path}, got {error}; the file is missing or damaged") from error
    sealed, digest = facts.pop(SEAL, ""), _seal(tensors, facts)
    if sealed != digest:
        wanted, got = shortened_apart(sealed, digest)
        raise CheckpointError(
            f"expected tensors with sha256 {wanted or 'of their own'}, got {got} in {path}; the file is damaged"
        )
    return tensors, facts


def _seal(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    text = json.dumps(dict(facts), sort_keys=True) + tensors_sha256(tensors)
    return hashlib.sha256(text.encode()).hexdigest()
