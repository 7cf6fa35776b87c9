"""A trained model on disk: safetensors weights beside a JSON manifest that says where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from obliviate.errors import CheckpointError
from obliviate.files import sha256_of, write_atomically, write_json

FORMAT = "obliviate.checkpoint/1"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a checkpoint says of itself; `ids` are the samples that its training has seen."""

    role: str
    method: str
    seed: int
    recipe: dict[str, Any]
    data_sha256: str
    ids: list[str]
    settings: dict[str, Any]
    seconds: float
    weights_sha256: str
    file_sha256: str
    format: str = FORMAT


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's parameters and buffers: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(
    path: Path,
    model: nn.Module,
    *,
    role: str,
    method: str,
    seed: int,
    recipe: Mapping[str, Any],
    data_sha256: str,
    ids: list[str],
    settings: Mapping[str, Any],
    seconds: float,
) -> Manifest:
    """Write `path` (.safetensors), then its manifest (.json), which so vouches for the whole."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(state, temporary))
    manifest = Manifest(
        role=role,
        method=method,
        seed=seed,
        recipe=dict(recipe),
        data_sha256=data_sha256,
        ids=ids,
        settings=dict(settings),
        seconds=seconds,
        weights_sha256=weights_sha256(model),
        file_sha256=sha256_of(path),
    )
    write_json(path.with_suffix(".json"), asdict(manifest))
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the checkpoint at `path` (.safetensors); raises CheckpointError for a foreign one."""
    beside = path.with_suffix(".json")
    try:
        values = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"expected a checkpoint with its manifest {beside.name}, got none in {beside.parent}; "
            "make one with `obliviate train`"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"expected a manifest in JSON, got {beside} ({error}); the file is damaged") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        got = values.get("format") if isinstance(values, dict) else type(values).__name__
        raise CheckpointError(
            f"expected a manifest of format {FORMAT}, got {got!r} in {beside}; use a checkpoint that obliviate wrote"
        )
    try:
        return Manifest(**values)
    except TypeError as error:
        raise CheckpointError(
            f"expected the fields of {FORMAT}, got others in {beside} ({error}); it is foreign"
        ) from error


def load(path: Path, model: nn.Module) -> Manifest:
    """Read the weights at `path` into `model`, after checking them against the manifest.

    Raises CheckpointError for a damaged or foreign file, or for weights that do not fit the model, which then is left
    as it was.
    """
    manifest = read_manifest(path)
    try:
        if (found := sha256_of(path)) != manifest.file_sha256:
            raise CheckpointError(
                f"expected weights with sha256 {manifest.file_sha256[:12]}…, got {found[:12]}… in {path}; "
                "the file is damaged or was replaced: restore it or train again"
            )
        state: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"expected a safetensors file, got {path} ({error}); it is damaged or missing") from error
    if difference := _difference(model, state):
        raise CheckpointError(
            f"expected weights of {type(model).__name__}, got others in {path} ({difference}); "
            "load them into the architecture that was trained"
        )
    model.load_state_dict(state)
    return manifest


def _difference(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Say in which name, shape or type the weights are not the model's; an empty text if in none."""
    mine = model.state_dict()
    if odd := sorted(set(mine) ^ set(state)):
        return f"{odd[0]} is {'missing' if odd[0] in mine else 'unknown'}"
    for name, value in mine.items():
        theirs = state[name]
        if not is_lazy(value) and (value.shape, value.dtype) != (theirs.shape, theirs.dtype):
            wanted, got = (f"{one.dtype} {tuple(one.shape)}" for one in (value, theirs))
            return f"{name} is {got}, not {wanted}"
    return ""
