"""What a run keeps between two epochs, so that a killed one goes on: models, optimisers, schedules, numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch

from obliviate._util.files import read_hashed, write_hashed


@runtime_checkable
class Stateful(Protocol):
    """Whatever can be saved and restored: models, optimisers, schedulers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object: ...


State: TypeAlias = Mapping[str, Stateful | dict[str, Any]]
"""Everything that changes from epoch to epoch, by name."""


def save_state(path: Path, state: State, *, done: int, seconds: float) -> None:
    """Write the state after so many epochs, which took so long, with its hash."""
    content = {
        "done": done,
        "seconds": seconds,
        "state": {key: dict(part) if isinstance(part, dict) else part.state_dict() for key, part in state.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_hashed(path, buffer.getvalue())


def restore_state(path: Path, state: State, *, device: torch.device) -> tuple[int, float]:
    """Put what was saved into `state`; return the epochs that are done and their seconds.

    Raises WorkspaceError for a file that is not as it was written.
    """
    content = torch.load(io.BytesIO(read_hashed(path)), map_location=device, weights_only=True)
    for key, part in state.items():
        if isinstance(part, dict):
            part.clear()
            part.update(content["state"][key])
        else:
            part.load_state_dict(content["state"][key])
    return int(content["done"]), float(content["seconds"])
