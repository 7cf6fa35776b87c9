"""How the original was trained: everything that reproduces it, its retrains and its references."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import ObliviateError, RecipeError
from obliviate.models import ARCHITECTURES
from obliviate.models.admission import admitted
from obliviate.models.ensemble import Ensemble
from obliviate.models.huggingface import adapted
from obliviate.task import Task
from obliviate.training import optimizers, schedules
from obliviate.training.augmentation import AUGMENTATIONS, augmentation
from obliviate.training.builders import arguments_of, resolve
from obliviate.training.code import called, code_sha256, importable, name_of, written_name
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

    `optimizer` is sgd, adam, adamw, or the name of any other of `torch.optim`, and `optimizer_options` what else it is
    made with; `momentum` is that of sgd alone. `schedule` "step" divides by ten at 20, 40, 60 and 80 %, or multiplies
    by `gamma` after the epochs of `milestones`. `augmentation` is "none", "crop_flip", or your own function of a batch
    of inputs. `train` is your own training function (`training.own.TrainFunction`) in place of these settings, which
    then keep their defaults; or "unknown", for a model that can be built, and nobody can say how it was trained. Own
    functions, or their "module:name", are known again by their code.

    `class_weights`, one number above 0 a class, weigh the losses of a classification, in training and wherever a method
    trains on labels: Σ w ℓ / Σ w over a batch, as in `torch.nn.CrossEntropyLoss` (`balanced_weights` gives such).

    >>> Recipe(model="mlp", model_options={"features": 4, "classes": 2}).build(seed=0)
    MLP(...)
    >>> Recipe(optimizer="RMSprop", optimizer_options={"alpha": 0.9}, schedule="step", milestones=(10, 15)).gamma
    0.1
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
    augmentation: str | Callable[..., Any] = "none"
    precision: str = "auto"
    shards: int = 1
    slices: int = 1
    class_weights: tuple[float, ...] | None = None
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    train: str | Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        while isinstance(self.model, functools.partial):
            options = {**arguments_of(self.model), **self.model_options}
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
                "name one of them, or a function of your own that returns a model, as module:function"
            )
        choices = {"schedule": schedules.SCHEDULES, "augmentation": AUGMENTATIONS, "precision": PRECISIONS}
        for name, names in choices.items():
            value = getattr(self, name)
            own = name == "augmentation" and (callable(value) or ":" in str(value))
            if not own and (not isinstance(value, str) or value not in names):
                raise RecipeError(
                    f"expected {name} of {', '.join(names)}, got {value!r}; name one of them"
                    + (", or pass your own function, by its module:name" if name == "augmentation" else "")
                )
        for name, most in MOST.items():
            _check_number(name, getattr(self, name), most)
        self._check_optimizer()
        self._check_milestones()
        self._check_train()

    def _check_optimizer(self) -> None:
        """Refuse an optimiser that there is not, and options that it does not take; raises RecipeError."""
        object.__setattr__(self, "optimizer", optimizers.plain_name(self.optimizer))
        optimizers.class_of(self.optimizer)
        if not isinstance(self.optimizer_options, Mapping):
            raise RecipeError(
                f"expected optimizer_options by their names, got {self.optimizer_options!r:.60}; give a mapping"
            )
        momentum = Recipe.__dataclass_fields__["momentum"].default
        if self.optimizer not in optimizers.OPTIMIZERS and self.momentum != momentum:
            raise RecipeError(
                f"expected momentum for sgd alone, got {self.momentum:g} for {self.optimizer}; say it in "
                "optimizer_options, where it takes one"
            )
        if self.optimizer == "sgd" and "momentum" in self.optimizer_options:
            raise RecipeError("expected optimizer_options of sgd without momentum, got it; say it as momentum")
        if self._named_optimizer:
            self._make_named([nn.Parameter(torch.zeros(2, 2))])

    def _check_milestones(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        places = self.milestones
        if places and self.schedule != "step":
            raise RecipeError(f"expected milestones of schedule step, got {self.schedule}; set schedule to step")
        rising = all(type(place) is int for place in places) and list(places) == sorted({*places})
        if not rising or (places and not 0 < places[0] <= places[-1] < self.epochs):
            raise RecipeError(
                f"expected milestones as rising epochs between 0 and {self.epochs}, got {list(places)}; correct them"
            )

    def _check_train(self) -> None:
        """Refuse a training function beside settings that it does not read; raises RecipeError."""
        if self.train is None:
            return
        if not callable(self.train) and self.train != UNKNOWN and ":" not in str(self.train):
            raise RecipeError(
                f"expected a training function or its module:name, got {self.train!r}; name one, or say {UNKNOWN!r}"
            )
        if self.sharded:
            raise RecipeError("expected a recipe without a training function for shards and slices, got one; leave out")
        defaults = Recipe.__dataclass_fields__
        if changed := [name for name in OF_TRAINING if getattr(self, name) != defaults[name].default]:
            raise RecipeError(
                f"expected settings of training or a function that trains, got {', '.join(changed)} beside "
                f"{written_name(self.train)}; set them in the function"
            )

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
        return adapted(admitted(model))

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """Make the optimiser over the model's parameters; raises RecipeError where a function trains instead."""
        if self.train is not None:
            raise RecipeError(
                f"expected a recipe that names an optimiser, got {written_name(self.train)} in its place; give settings"
            )
        if self._named_optimizer:
            return self._make_named(model.parameters())
        return optimizers.make(model, dataclasses.replace(self, momentum=self.first_moment))

    def _make_named(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        settings: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        settings |= {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        return optimizers.make_named(self.optimizer, parameters, settings, self.optimizer_options)

    @property
    def _named_optimizer(self) -> bool:
        return bool(self.optimizer_options) or self.optimizer not in optimizers.OPTIMIZERS

    @property
    def first_moment(self) -> float:
        """The momentum of SGD; of Adam and its kin β₁, which is 0.9 whatever `momentum` says, unless options do."""
        if self.optimizer == "sgd":
            return self.momentum
        return float(self.optimizer_options.get("betas", optimizers.BETAS)[0])

    @property
    def factor(self) -> str | Callable[[float], float]:
        """The schedule: its name, or with milestones the factor at each share of the training."""
        if not self.milestones:
            return self.schedule
        return schedules.at_milestones([place / self.epochs for place in self.milestones], self.gamma)

    @property
    def trainable(self) -> bool:
        """Whether models can be trained by this: not where nobody can say how."""
        return self.train != UNKNOWN

    def check_trainable(self) -> None:
        """Refuse to train by this where nobody can say how; raises RecipeError."""
        if not self.trainable:
            raise RecipeError(
                f"expected a recipe or a training function to train {self.model_name} by, got none: how the model was "
                "trained is not known; give one, with --recipe or --train-function where it is adopted, or use a "
                "method that needs none"
            )

    def augmented(self, samples: Samples) -> Samples:
        """Read the samples through this recipe's augmentation."""
        return samples.transformed(augmentation(self.augmentation))

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
        """Whether another process can train the model: its own functions are such that a module holds."""
        return all(importable(function) for function in (self.model, self.augmentation, self.train or ""))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values.

        `shards` and `slices` are named only where the model is trained in them, and so are class weights and what else
        few recipes have; by a training function, none of the settings that it replaces is. Functions of your own are
        named with a hash of their code, functions and classes among the options with their names. Raises RecipeError
        for other options that are no JSON values.
        """
        values = {setting.name: getattr(self, setting.name) for setting in dataclasses.fields(self)}
        if not self.sharded:
            del values["shards"], values["slices"]
        for name in (name for name in LATER if values[name] == _default(name)):
            del values[name]
        if self.train is not None:
            values = {name: value for name, value in values.items() if name not in OF_TRAINING}
        for name in ("augmentation", "train"):
            if name in values and (callable(values[name]) or ":" in str(values[name])):
                function = called(values[name], what=OWN[name])
                values[name], values[f"{name}{CODE}"] = written_name(values[name]), code_sha256(function)
        # Tuples become lists, as in a file.
        return json.loads(json.dumps(values | {"model": self.model_name}, default=_written))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` returned; raises RecipeError for other keys, and where own code has changed since."""
        fields = {setting.name for setting in dataclasses.fields(cls)}
        hashes = {name: values[f"{name}{CODE}"] for name in OWN if f"{name}{CODE}" in values}
        settings = {name: value for name, value in values.items() if not name.endswith(CODE)}
        if unknown := sorted(set(settings) - fields):
            raise RecipeError(
                f"expected recipe fields {', '.join(sorted(fields))}, got {', '.join(unknown)}; remove them"
            )
        for name, digest in hashes.items():
            if code_sha256(called(settings[name], what=OWN[name])) != digest:
                raise RecipeError(
                    f"expected the {OWN[name]} {settings[name]} as it was, got other code under the same name; restore "
                    "it, or begin in a new folder"
                )
        tuples = {name: tuple(settings[name]) for name in TUPLES if isinstance(settings.get(name), list)}
        return cls(**{**settings, **tuples})

    @property
    def fingerprint(self) -> str:
        """A short hash of everything in the recipe."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


UNKNOWN: Final = "unknown"
"""What `train` says where nobody can say how a model was trained."""
CODE: Final = "_sha256"
OWN: Final = {"augmentation": "augmentation", "train": "training function"}
"""The fields that may be functions of the user's own, each with what it is called."""
TUPLES: Final = ("class_weights", "milestones")
LATER: Final = ("class_weights", "optimizer_options", "milestones", "gamma", "train")
"""Fields that are named only where they are not the default."""
OF_TRAINING: Final = (
    "epochs", "batch_size", "optimizer", "learning_rate", "momentum", "weight_decay", "schedule",
)  # fmt: skip
"""What a training function replaces."""
MOST: Final[Mapping[str, float]] = {
    "epochs": 10**6,
    "batch_size": 10**9,
    "shards": 10**4,
    "slices": 10**4,
    "learning_rate": 1e38,
    "momentum": 1.0,
    "weight_decay": 1e38,
    "gamma": 1.0,
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


def _default(name: str) -> Any:
    setting = Recipe.__dataclass_fields__[name]
    return setting.default if setting.default_factory is dataclasses.MISSING else setting.default_factory()


def _written(option: Any) -> str:
    if callable(option):
        return name_of(option)
    raise RecipeError(
        f"expected model options of numbers, texts, lists, functions and classes, got {type(option).__name__}; make it "
        "in the function that builds the model"
    )
