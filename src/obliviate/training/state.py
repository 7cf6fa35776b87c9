"""What a model consists of, as tensors with plain names, and read back from these."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from obliviate.errors import CheckpointError, RecipeError
from obliviate.models.admission import plain_names

SCALARS: Final = (bool, int, float, str, type(None))
MARKS: Final = frozenset({"tensor", "tuple", "bytes", "dict"})


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of everything that a model saves, on the processor, under names without those of wrappers.

    Extra state (`get_extra_state`) that is no tensor is written as the bytes of a JSON text. Raises RecipeError where
    it holds anything but plain values and tensors.

    >>> sorted(state_of(nn.Sequential(nn.Linear(1, 1))))
    ['0.bias', '0.weight']
    """
    state = {}
    for name, value in plain_names(model.state_dict()).items():
        tensor = value if isinstance(value, Tensor) else _encoded(name, value)
        state[name] = tensor.detach().cpu().contiguous().clone()
    return state


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Read what `state_of` returned into a model of the same architecture, in wrappers or not.

    Raises CheckpointError for other names, shapes or types; the model then is as it was.

    >>> first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> load_state(first, state_of(second))
    >>> torch.equal(first.weight, second.weight)
    True
    """
    own, state = model.state_dict(), plain_names(state)
    names = dict(zip(plain_names(own), own, strict=True))
    if odd := sorted(set(names) ^ set(state)):
        raise CheckpointError(f"{odd[0]} is {'missing' if odd[0] in names else 'unknown'}")
    loaded: dict[str, Any] = {}
    for name, own_name in names.items():
        value, tensor = own[own_name], state[name]
        if not isinstance(value, Tensor):
            loaded[own_name] = _decoded(name, tensor)
            continue
        if not is_lazy(value) and (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
            wanted, got = (f"{part.dtype} {tuple(part.shape)}" for part in (value, tensor))
            raise CheckpointError(f"{name} is {got}, not {wanted}")
        loaded[own_name] = tensor
    model.load_state_dict(loaded)


def _encoded(name: str, value: object) -> Tensor:
    """Extra state as the bytes of a JSON text, the same for equal values."""
    text = json.dumps(_plain(name, value), sort_keys=True)
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def _decoded(name: str, tensor: Tensor) -> object:
    try:
        return _valued(json.loads(bytes(tensor.tolist()).decode()))
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{name} is no extra state ({error})") from error


def _plain(name: str, value: object) -> Any:
    match value:
        case Tensor():
            held = value.detach().cpu().contiguous()
            raw = base64.b64encode(held.flatten().view(torch.uint8).numpy().tobytes()).decode()
            return {"tensor": [str(held.dtype).removeprefix("torch."), list(held.shape), raw]}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case tuple():
            return {"tuple": [_plain(name, part) for part in value]}
        case list():
            return [_plain(name, part) for part in value]
        case Mapping():
            return {"dict": [[_plain(name, key), _plain(name, part)] for key, part in value.items()]}
        case _ if isinstance(value, SCALARS):
            return value
        case _:
            raise RecipeError(
                f"expected extra state of numbers, texts, lists, mappings and tensors, got {type(value).__name__} in "
                f"{name}; return such from `get_extra_state`"
            )


def _valued(written: Any) -> Any:
    if isinstance(written, list):
        return [_valued(part) for part in written]
    if not isinstance(written, dict):
        return written
    ((mark, content),) = written.items()
    if mark not in MARKS:
        raise ValueError(f"{mark!r} of no meaning")
    if mark == "tensor":
        dtype, shape, raw = content
        flat = torch.frombuffer(bytearray(base64.b64decode(raw)) or bytearray(1), dtype=torch.uint8)
        return flat[: len(base64.b64decode(raw))].view(getattr(torch, dtype)).reshape(shape).clone()
    if mark == "bytes":
        return base64.b64decode(content)
    if mark == "tuple":
        return tuple(_valued(part) for part in content)
    return {_valued(key): _valued(part) for key, part in content}
