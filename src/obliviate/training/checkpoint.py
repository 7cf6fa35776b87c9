"""A trained model on disk: safetensors weights beside a JSON manifest that says where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from obliviate._util.files import check_sha256, sha256_of, write_atomically, write_sealed_json
from obliviate.errors import CheckpointError
from obliviate.requests.manifest import Manifest, read_manifest
from obliviate.training.state import load_state, state_of
from obliviate.training.tensors import tensors_sha256


def weights_sha256(model: nn.Module) -> str:
    """Hash a model's parameters, buffers and extra state: names without those of wrappers, types, shapes and values."""
    return tensors_sha256(state_of(model))


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
    state = state_of(model)
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
        weights_sha256=tensors_sha256(state),
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
    try:
        load_state(model, state)
    except CheckpointError as error:
        raise CheckpointError(
            f"expected weights of {type(model).__name__}, got others in {path} ({error}); "
            "load them into the architecture that was trained"
        ) from error
    return manifest
