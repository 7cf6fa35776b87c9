"""A recipe that suits data: an architecture that takes them, and settings that train it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import torch

from obliviate.data.sources import Data
from obliviate.models import ARCHITECTURES
from obliviate.training.recipe import OF_TRAINING, Recipe

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "text_transformer": {"optimizer": "adamw", "learning_rate": 3e-3, "epochs": 5, "precision": "float32"},
    "causal_transformer": {"optimizer": "adamw", "learning_rate": 5e-3, "epochs": 5, "batch_size": 16},
    "huggingface": {"optimizer": "adamw", "learning_rate": 5e-5, "epochs": 3},
}
"""What trains an architecture, where the defaults of `Recipe` do not."""


def recipe_for(
    data: Data, *, model: str | None = None, options: Mapping[str, Any] | None = None, **settings: Any
) -> Recipe:
    """Make a recipe for data: their kind chooses the model if none is named, and their shapes its options.

    Images get `small_cnn`, rows `mlp`, texts `text_transformer`, language modelling `causal_transformer`. What is given
    goes before what is found; `settings` are those of `Recipe`. The options of functions of your own are not filled in.

    >>> from obliviate.data.sources import load_data
    >>> recipe = recipe_for(load_data("diabetes"))
    >>> recipe.model, dict(recipe.model_options)
    ('mlp', {'classes': 1, 'features': 11})
    """
    name = model or usual(data)
    data_options = {} if name not in ARCHITECTURES else _options_of(name, data)
    usual_settings = SETTINGS.get(name, {})
    if settings.get("train") is not None:  # a training function has its own
        usual_settings = {key: value for key, value in usual_settings.items() if key not in OF_TRAINING}
    return Recipe(model=name, model_options={**data_options, **(options or {})}, **{**usual_settings, **settings})


def usual(data: Data) -> str:
    """Name the architecture that data of this kind get if none is asked for.

    >>> from obliviate.data.sources import embedded
    >>> usual(embedded())
    'small_cnn'
    """
    if data.vocabulary is not None:
        return "causal_transformer" if data.kind == "causal-lm" else "text_transformer"
    return "small_cnn" if len(_shape(data)) == 3 else "mlp"


def _options_of(name: str, data: Data) -> dict[str, Any]:
    """The options of an architecture that follow from the data and are not its defaults."""
    shape = _shape(data)
    facts: dict[str, Any] = {"classes": data.classes}
    if data.vocabulary is not None:
        facts |= {"vocabulary": len(data.vocabulary), "length": shape[0]}
    elif len(shape) == 3:
        channels, height, width = shape
        facts |= {"channels": channels, "size": height if height == width else [height, width]}
    facts["features"] = int(torch.tensor(shape).prod())
    parameters = inspect.signature(ARCHITECTURES[name]).parameters
    return {key: value for key, value in facts.items() if key in parameters and parameters[key].default != value}


def _shape(data: Data) -> tuple[int, ...]:
    return tuple(data.train.take(torch.arange(1)).x.shape[1:])
