"""Which models are served: wrappers around them are taken off, and what cannot learn is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from obliviate.errors import RecipeError

V = TypeVar("V")

COMPILED: Final = "_orig_mod"
PARALLEL: Final = "module"
WRAPPERS: Final[Mapping[str, str]] = {
    "OptimizedModule": COMPILED,
    "DataParallel": PARALLEL,
    "DistributedDataParallel": PARALLEL,
}
"""Classes of torch that hold a model in order to run it otherwise, and where they hold it."""


def admitted(model: nn.Module) -> nn.Module:
    """Take the wrappers of `torch.compile` and of data parallelism off a model that can be served.

    Its weights are the same objects as before. Raises RecipeError for scripted and quantised models, for weights that
    were made in inference mode or have no values, and for sharded models.

    >>> admitted(nn.DataParallel(nn.Linear(2, 2)))
    Linear(in_features=2, out_features=2, bias=True)
    """
    while (place := WRAPPERS.get(type(model).__name__)) is not None and isinstance(getattr(model, place), nn.Module):
        model = getattr(model, place)
    name = type(model).__name__
    for problem, remedy in _problems(model):
        raise RecipeError(f"expected a model that can be trained, got {name} {problem}; {remedy}")
    return model


def check_trainable(model: nn.Module) -> None:
    """Refuse a model of which nothing is trainable; raises RecipeError.

    >>> check_trainable(nn.Linear(1, 1))
    """
    weights = list(model.parameters())
    if not any(weight.requires_grad for weight in weights):
        got = "all of them frozen" if weights else "none at all"
        raise RecipeError(
            f"expected a model with trainable weights, got {type(model).__name__} with {got}; let those "
            "train that may change, with `model.requires_grad_(True)`, or use `retrain`"
        )


def plain_name(name: str) -> str:
    """The name of a weight without what wrappers put into it: `_orig_mod.` anywhere, `module.` in front.

    >>> plain_name("module._orig_mod.layer.weight"), plain_name("backbone._orig_mod.weight")
    ('layer.weight', 'backbone.weight')
    """
    parts = [part for part in name.split(".") if part != COMPILED]
    while len(parts) > 1 and parts[0] == PARALLEL:
        parts = parts[1:]
    return ".".join(parts)


def plain_names(state: Mapping[str, V]) -> dict[str, V]:
    """Weights under their plain names; `module.` is taken off only where every name begins with it.

    >>> plain_names({"module.a": 1, "module.b": 2}), plain_names({"module.a": 1, "b": 2})
    ({'a': 1, 'b': 2}, {'module.a': 1, 'b': 2})
    """
    without = {".".join(part for part in name.split(".") if part != COMPILED): value for name, value in state.items()}
    wrapped = bool(without) and all(name.startswith(f"{PARALLEL}.") for name in without)
    return {plain_name(name): value for name, value in without.items()} if wrapped else without


def _problems(model: nn.Module) -> list[tuple[str, str]]:
    """What keeps a model from being served, and the remedies; nothing for most."""
    problems: list[tuple[str, str]] = []
    modules: list[Any] = list(model.modules())
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules):
        problems.append(("that was scripted or traced", "give the `nn.Module` that it was made from"))
    if any(_quantised(module) for module in modules):
        problems.append(
            ("that was quantised", "give the model in floating point that it was made from, and quantise the outcome")
        )
    if any("FullyShardedDataParallel" in type(module).__name__ for module in modules):
        problems.append(("in shards of FSDP", "gather its state, and read that into a plain model"))
    weights = list(model.parameters())
    if any(weight.device.type == "meta" for weight in weights):
        problems.append(("with weights that have no values (on meta)", "read its weights first"))
    if any(not is_lazy(weight) and weight.is_inference() for weight in weights):
        problems.append(
            ("whose weights were made in `torch.inference_mode`", "build it, or load its weights, outside of that")
        )
    return problems


def _quantised(module: nn.Module) -> bool:
    """Whether a module computes with quantised weights, by torch or by bitsandbytes."""
    home = type(module).__module__
    if "quantized" in home.split(".") or home.startswith("bitsandbytes"):
        return True
    # Integers among floats are counters and tables; as weights they are quantised.
    return any(not (weight.is_floating_point() or weight.is_complex()) for weight in module.parameters(recurse=False))
