"""A trained model on disk: safetensors weights beside a JSON manifest that says where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from obliviate._util.files import check_sha256, sha256_of, write_atomically, write_sealed_json
from obliviate.errors import CheckpointError
from obliviate.requests.manifest import Manifest, read_manifest
from obliviate.training.tensors import tensors_sha256


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's parameters and buffers: names, types, shapes and values."""
    return tensors_sha256(model.state_dict())


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
    number: int = 1,
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
        number=number,
    )
    write_sealed_json(path.with_suffix(".json"), asdict(manifest))
    return manifest


def load(path: Path, model: nn.Module) -> Manifest:
    """Read the weights at `path` into `model`, after checking them against the manifest.

    Raises CheckpointError for a damaged or foreign file, or for weights that do not fit the model, which then is left
    as it was.
    """
    manifest = read_manifest(path)
    check_sha256(path, manifest.file_sha256, remedy="restore it or train again", error=CheckpointError)
    try:
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
    own_state = model.state_dict()
    if odd := sorted(set(own_state) ^ set(state)):
        return f"{odd[0]} is {'missing' if odd[0] in own_state else 'unknown'}"
    for name, value in own_state.items():
        loaded = state[name]
        if not is_lazy(value) and (value.shape, value.dtype) != (loaded.shape, loaded.dtype):
            wanted, got = (f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (value, loaded))
            return f"{name} is {got}, not {wanted}"
    return ""
