"""Weights that were trained elsewhere, in the files that others leave, and the same written for others to read."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from obliviate._util.files import write_atomically
from obliviate.data.ids import shown
from obliviate.errors import CheckpointError

PREFIXES: Final = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put before the names of weights: DataParallel, `torch.compile`, Lightning and others."""
INSIDE: Final = ("state_dict", "model_state_dict", "model", "net")
"""Where a file that holds more than weights has them."""
FOLDER: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
OBJECT: Final = re.compile(r"GLOBAL (\S+)")
COUNTER: Final = "num_batches_tracked"
FORMATS: Final = (".safetensors", ".pt", ".pth")

State = Mapping[str, Tensor]


def read_weights(path: Path) -> State:
    """Read weights by name: a state dict of torch, alone or inside a checkpoint, safetensors, or a Trainer's folder.

    Pickles are read with `weights_only=True` alone: no code of the file runs. Raises CheckpointError for another file,
    for one that is missing or damaged, and for weights that are not finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "net.pth"
    ...     torch.save({"epoch": 3, "state_dict": {"module.weight": torch.ones(2)}}, path)
    ...     read_weights(path)
    {'module.weight': tensor([1., 1.])}
    """
    if not path.exists():
        raise CheckpointError(f"expected weights in {path}, got no such file; name the file or folder that has them")
    state = _of_folder(path) if path.is_dir() else _of_file(path)
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"expected finite weights, got NaN or Inf in {name} of {path}; take an earlier file")
    return state


def load_into(model: nn.Module, state: State, *, what: str) -> None:
    """Load weights into a model whose names are theirs but for `PREFIXES`, which are taken off, or a shared one put on.

    Raises CheckpointError where they do not fit, with what is missing, unexpected and of another shape; the model is
    then as it was.

    >>> model = nn.Linear(2, 1)
    >>> load_into(model, {"module.weight": torch.ones(1, 2), "module.bias": torch.zeros(1)}, what="net.pth")
    >>> model.weight.tolist()
    [[1.0, 1.0]]
    """
    own = model.state_dict()
    fits = [_Fit.of(own, candidate) for candidate in _candidates(own, state)]
    best = min(fits, key=lambda fit: fit.size)
    if best.size:
        raise CheckpointError(
            f"expected the weights of {type(model).__name__} in {what}, got others: {best}; name the architecture that "
            "was trained, with the options that it was built by, or save the model's own `state_dict()` alone"
        )
    model.load_state_dict(dict(best.state))


def write_weights(path: Path, model: nn.Module) -> None:
    """Write a model's weights under their own names, for plain PyTorch: `.safetensors`, or a `.pt` state dict.

    Raises CheckpointError for another ending, and for a file that is there already.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_weights(Path(folder) / "net.pt", nn.Linear(2, 1))
    ...     sorted(torch.load(Path(folder) / "net.pt", weights_only=True))
    ['bias', 'weight']
    """
    if path.suffix not in FORMATS:
        raise CheckpointError(f"expected a file that ends in {', '.join(FORMATS)}, got {path.name}; name such a file")
    if path.exists():
        raise CheckpointError(f"expected a new file, got {path}, which is there; name another, or remove it")
    state = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    if path.suffix == ".safetensors":
        write_atomically(path, lambda temporary: save_file(state, temporary, {"format": "pt"}))
        return
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


# ---------------------------------------------------------------------------------------------- files


def _of_folder(folder: Path) -> State:
    for name in FOLDER:
        if (folder / name).exists():
            return _of_file(folder / name)
    raise CheckpointError(
        f"expected weights in {folder} ({', '.join(FOLDER)}), got none of these; name the file itself"
    )


def _of_file(path: Path) -> State:
    if path.name.endswith(".index.json"):
        return _sharded(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"expected a safetensors file, got {path} ({error}); it is damaged") from error
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"expected weights alone in {path}, got a file with other objects{_named(str(error))}, which would run "
            "code to be read; where it was trained, save `model.state_dict()` in place of `model`"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"expected weights of torch in {path}, got {error!s:.200}; it is damaged, or not written by `torch.save`"
        ) from error
    return _inside(content, path)


def _named(refusal: str) -> str:
    """Which object torch has refused to read, in parentheses, where its words tell."""
    named = OBJECT.search(refusal)
    return f" ({named[1]})" if named else ""


def _sharded(path: Path) -> State:
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"expected a weight_map in {path}, got {error!r:.200}; it is damaged") from error
    state: dict[str, Tensor] = {}
    for name in names:
        if Path(name).name != name or not (path.parent / name).exists():
            raise CheckpointError(f"expected {name} beside {path}, got no such file; put all parts in one folder")
        state |= _of_file(path.parent / name)
    return state


def _is_state(content: object) -> bool:
    """Whether this is a mapping of tensors and nothing else."""
    return isinstance(content, Mapping) and bool(content) and all(isinstance(held, Tensor) for held in content.values())


def _inside(content: Any, path: Path) -> State:
    """The weights in what a file holds."""
    places = [content] if isinstance(content, Mapping) else []
    places += [content[name] for name in INSIDE if places and isinstance(content.get(name), Mapping)]
    for place in places:
        if _is_state(place):
            return {str(name): value for name, value in place.items()}
    others = {str(name): value for name, value in content.items() if _is_state(value)} if places else {}
    if len(others) == 1:
        return {str(name): value for name, value in next(iter(others.values())).items()}
    if others:
        raise CheckpointError(
            f"expected one state dict in {path}, got {len(others)} ({', '.join(others)}); load the file in Python and "
            f"choose, `ob.adopt(torch.load({str(path)!r})[{next(iter(others))!r}], experiment)`"
        )
    got = f"keys {shown(list(map(str, content)))}" if isinstance(content, Mapping) else type(content).__name__
    raise CheckpointError(
        f"expected a state dict in {path}, alone or under one key, such as {', '.join(INSIDE)}, got {got}; save "
        "`model.state_dict()`"
    )


# ---------------------------------------------------------------------------------------------- names


@dataclass(frozen=True)
class _Fit:
    """Weights under some names beside those of a model: what is missing, unexpected, and of another shape."""

    state: State
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]

    @classmethod
    def of(cls, own: State, state: State) -> _Fit:
        places = {value.data_ptr() for name, value in own.items() if name in state and _has_memory(value)}
        absent = [name for name in own if name not in state]
        # Weights that are tied are written once, and old files have no counters of batches.
        missing = [
            name
            for name in absent
            if not name.endswith(COUNTER) and not (_has_memory(own[name]) and own[name].data_ptr() in places)
        ]
        shapes = [
            f"{name} {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
            for name in own
            if name in state and not is_lazy(own[name]) and state[name].shape != own[name].shape
        ]
        tied = {name for name in absent if name not in missing and not name.endswith(COUNTER)}
        held = {name: value for name, value in own.items() if name.endswith(COUNTER) and name in absent}
        shared = {name: _twin(own, name, state) for name in tied}
        unexpected = tuple(name for name in state if name not in own)
        return cls({**state, **held, **shared}, tuple(missing), unexpected, tuple(shapes))

    @property
    def size(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def __str__(self) -> str:
        parts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.shapes}
        return "; ".join(f"{len(names)} {what} ({shown(list(names))})" for what, names in parts.items() if names)


def _has_memory(value: Tensor) -> bool:
    return not is_lazy(value) and value.numel() > 0


def _twin(own: State, name: str, state: State) -> Tensor:
    """What a tied weight that is not written is tied to."""
    place = own[name].data_ptr()
    return next(state[other] for other, value in own.items() if other in state and value.data_ptr() == place)


def _candidates(own: State, state: State) -> Iterator[State]:
    """The weights under names that they may have: with prefixes off, or with one on that all of the model's have."""
    heads = {name.partition(".")[0] + "." for name in own}
    shared = heads.pop() if len(heads) == 1 else ""
    tried: set[frozenset[str]] = set()
    waiting = [state]
    while waiting:
        candidate = waiting.pop(0)
        if (names := frozenset(candidate)) in tried:
            continue
        tried.add(names)
        yield candidate
        if shared:
            yield {shared + name: value for name, value in candidate.items()}
        for prefix in PREFIXES:
            if any(name.startswith(prefix) for name in candidate):
                waiting.append({name.removeprefix(prefix): value for name, value in candidate.items()})
