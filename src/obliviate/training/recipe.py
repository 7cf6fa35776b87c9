"""How the original was trained: everything that reproduces it, its retrains and its references."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import nn
from torch.optim import Optimizer

from obliviate._util.imports import imported
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import ObliviateError, RecipeError
from obliviate.models import ARCHITECTURES
from obliviate.models.admission import admitted
from obliviate.models.ensemble import Ensemble
from obliviate.task import Task
from obliviate.training import optimizers, schedules
from obliviate.training.augmentation import AUGMENTATIONS
from obliviate.training.compute import PRECISIONS
from obliviate.training.randomness import seeded


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Architecture, optimiser, schedule, epochs and augmentation of a training.

    `model` is the name of a built-in architecture or your own function (or class) that returns a fresh `nn.Module`;
    `model_options` are its keyword arguments. A `functools.partial` is taken apart into both. The defaults train the
    demonstration in seconds.

    With `shards` above 1 the training set is cut into as many parts, each with a model of its own, and the model is the
    `Ensemble` of them; with `slices` above 1 each of these is trained part by part, with a checkpoint after each, so
    that `sisa` can forget exactly at a fraction of a retraining (see `training.shards`).

    `class_weights`, one number above 0 a class, weigh the losses of a classification, in training and wherever a method
    trains on labels: Σ w ℓ / Σ w over a batch, as in `torch.nn.CrossEntropyLoss` (`balanced_weights` gives such).

    >>> Recipe(model="mlp", model_options={"features": 4, "classes": 2}).build(seed=0)
    MLP(...)
    """

    model: str | Callable[..., nn.Module] = "small_cnn"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "one_cycle"
    augmentation: str = "none"
    precision: str = "auto"
    shards: int = 1
    slices: int = 1
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        while isinstance(self.model, functools.partial):
            options = {**_arguments(self.model), **self.model_options}
            object.__setattr__(self, "model_options", options)
            object.__setattr__(self, "model", self.model.func)
        if self.class_weights is not None:
            weights = self.class_weights
            if not weights or not all(isinstance(weight, int | float) and 0 < weight < math.inf for weight in weights):
                raise RecipeError(
                    f"expected class weights above 0, one a class, got {list(weights)}; `balanced_weights` gives such"
                )
            object.__setattr__(self, "class_weights", tuple(map(float, weights)))
        if isinstance(self.model, str) and ":" not in self.model and self.model not in ARCHITECTURES:
            raise RecipeError(
                f"expected an architecture of {', '.join(ARCHITECTURES)}, got {self.model!r}; "
                "name one of them, or pass your own function that returns a model"
            )
        choices = {
            "optimizer": optimizers.OPTIMIZERS,
            "schedule": schedules.SCHEDULES,
            "augmentation": AUGMENTATIONS,
            "precision": PRECISIONS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise RecipeError(
                    f"expected {name} of {', '.join(known)}, got {getattr(self, name)!r}; name one of them"
                )
        for name, most in MOST.items():
            _check_number(name, getattr(self, name), most)

    def build(self, *, seed: int) -> nn.Module:
        """Make a fresh model whose initial weights are a function of the seed; global random state is left alone.

        Raises RecipeError for a function that cannot be imported, does not take the options, or returns no `nn.Module`,
        or one that cannot be trained (`models.admission`).
        """
        if self.sharded:
            return Ensemble([self._constituent(seed=derive(seed, "shard", shard)) for shard in range(self.shards)])
        return self._constituent(seed=seed)

    def _constituent(self, *, seed: int) -> nn.Module:
        factory = resolve(self.model)
        with seeded(seed):
            try:
                model = factory(**self.model_options)
            except TypeError as error:
                raise RecipeError(
                    f"expected options that {self.model_name} takes, got {dict(self.model_options)} ({error}); "
                    "correct `model_options`"
                ) from error
            except ObliviateError:
                raise
            except (Exception, SystemExit) as error:  # whatever a builder of the user's raises
                raise RecipeError(
                    f"expected {self.model_name} to build a model of {dict(self.model_options)!r:.200}, got "
                    f"{type(error).__name__}: {error!s:.300}; correct `model_options`, or the function"
                ) from error
        if not isinstance(model, nn.Module):
            raise RecipeError(
                f"expected a function that returns an nn.Module, got {type(model).__name__} from {self.model_name}; "
                "return the model itself"
            )
        return admitted(model)

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """Make the optimiser over the model's parameters."""
        return optimizers.make(model, dataclasses.replace(self, momentum=self.first_moment))

    @property
    def first_moment(self) -> float:
        """The momentum of SGD; of Adam and AdamW β₁, which is 0.9 whatever `momentum` says."""
        return self.momentum if self.optimizer == "sgd" else optimizers.BETAS[0]

    def augmented(self, samples: Samples) -> Samples:
        """Read the samples through this recipe's augmentation."""
        return samples.transformed(AUGMENTATIONS[self.augmentation])

    def weighted(self, task: Task) -> Task:
        """Return the task with this recipe's class weights in the loss that is trained on.

        Raises RecipeError where there are any and the task has no classes, or another number of them.
        """
        return task if self.class_weights is None else task.weighted(self.class_weights)

    @property
    def sharded(self) -> bool:
        """Whether the model is an ensemble that is trained in shards and slices."""
        return self.shards > 1 or self.slices > 1

    @property
    def model_name(self) -> str:
        """The built-in architecture's name, or "module:name" of the user's function, or of the class of an object."""
        return self.model if isinstance(self.model, str) else name_of(self.model)

    @property
    def importable(self) -> bool:
        """Whether another process can build the model: a built-in name, or a function that a module holds."""
        if isinstance(self.model, str):
            return True
        module, _, name = self.model_name.partition(":")
        return module != "__main__" and "<" not in name

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values.

        `shards` and `slices` are named only where the model is trained in them, class weights only where there are any.
        Functions and classes among the options are told by their names. Raises RecipeError for other options that are
        no JSON values.
        """
        values = {setting.name: getattr(self, setting.name) for setting in dataclasses.fields(self)}
        if not self.sharded:
            del values["shards"], values["slices"]
        weights = values.pop("class_weights")
        if weights is not None:
            values["class_weights"] = list(weights)
        # Tuples become lists, as in a file.
        options = json.loads(json.dumps(dict(self.model_options), default=_written))
        return values | {"model": self.model_name, "model_options": options}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` returned; raises RecipeError for other keys."""
        known = {setting.name for setting in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise RecipeError(
                f"expected recipe fields {', '.join(sorted(known))}, got {', '.join(unknown)}; remove them"
            )
        weights = values.get("class_weights")
        return cls(**{**values, "class_weights": tuple(weights)} if isinstance(weights, list) else values)

    @property
    def fingerprint(self) -> str:
        """A short hash of everything in the recipe."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


MOST: Final[Mapping[str, float]] = {
    "epochs": 10**6,
    "batch_size": 10**9,
    "shards": 10**4,
    "slices": 10**4,
    "learning_rate": 1e38,
    "momentum": 1.0,
    "weight_decay": 1e38,
}
"""The largest value of each number of a recipe, beyond which a machine is asked for what it cannot do."""


def _check_number(name: str, value: object, most: float) -> None:
    """Refuse what is no number, or one out of range; raises RecipeError."""
    whole = isinstance(most, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        kind = "a whole number" if whole else "a number"
        raise RecipeError(f"expected {name} to be {kind}, got {value!r:.60}; change the recipe")
    least_included = name in {"momentum", "weight_decay"}
    if not (value >= 0 if least_included else value > 0):
        wanted = "of 0 or more" if least_included else "above 0"
        raise RecipeError(f"expected {name} {wanted}, got {value}; change the recipe")
    if value > most:
        raise RecipeError(f"expected {name} of at most {most:g}, got {value:.6g}; change the recipe")


def resolve(model: str | Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Find the function that builds a model; raises RecipeError where "module:name" cannot be imported."""
    if not isinstance(model, str):
        return model
    if model in ARCHITECTURES:
        return ARCHITECTURES[model]
    try:
        return imported(model)
    except ImportError as error:
        raise RecipeError(
            f"expected an importable model, got {model!r} ({error}); install its package or run from its folder"
        ) from error


def name_of(builder: Callable[..., Any]) -> str:
    """Return "module:name" of a function or class, and of the class of another callable object.

    >>> name_of(nn.Linear)
    'torch.nn.modules.linear:Linear'
    """
    named: Any = builder if hasattr(builder, "__qualname__") else type(builder)
    return f"{named.__module__}:{named.__qualname__}"


def _arguments(partial: functools.partial[nn.Module]) -> dict[str, Any]:
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


def _written(option: Any) -> str:
    if callable(option):
        return name_of(option)
    raise RecipeError(
        f"expected model options of numbers, texts, lists, functions and classes, got {type(option).__name__}; make it "
        "in the function that builds the model"
    )
