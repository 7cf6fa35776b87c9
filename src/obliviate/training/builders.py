"""The functions that build models: found by their names, and partials of them taken apart."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from obliviate._util.imports import imported
from obliviate.errors import RecipeError
from obliviate.models import ARCHITECTURES
from obliviate.training.code import name_of


def resolve(model: str | Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Find the function that builds a model; raises RecipeError where "module:name" cannot be imported or called."""
    if not isinstance(model, str):
        return model
    if model in ARCHITECTURES:
        return ARCHITECTURES[model]
    try:
        builder: Callable[..., nn.Module] = imported(model)
    except ImportError as error:
        raise RecipeError(
            f"expected an importable model, got {model!r} ({error}); install its package, run from its "
            "folder, or name what is in it"
        ) from error
    if not callable(builder):
        raise RecipeError(
            f"expected a function or class that builds a model, got {type(builder).__name__} {model!r}; name a function"
        )
    return builder


def arguments_of(partial: functools.partial[nn.Module]) -> dict[str, Any]:
    """The arguments of a partial, by their names; raises RecipeError for those without."""
    try:
        signature = inspect.signature(partial.func)
        named = signature.bind_partial(*partial.args).arguments
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"expected arguments that {name_of(partial.func)} takes, got {partial.args} ({error}); correct the partial"
        ) from error
    kinds = {signature.parameters[name].kind for name in named}
    if kinds - {inspect.Parameter.POSITIONAL_OR_KEYWORD}:
        raise RecipeError(
            f"expected arguments with names, got {partial.args} for {name_of(partial.func)}; pass them by keyword"
        )
    return {**named, **partial.keywords}
