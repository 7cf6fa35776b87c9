"""Options that say which data are used and how models are trained, of `train` and `adopt`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from obliviate.cli.arguments import json_object, weights_of, written
from obliviate.errors import RecipeError

if TYPE_CHECKING:
    from obliviate.data.sources import Data
    from obliviate.training.recipe import Recipe

PLAIN: Final = (
    "epochs", "batch_size", "optimizer", "learning_rate", "momentum", "weight_decay", "schedule", "gamma",
    "augmentation", "shards", "slices",
)  # fmt: skip
"""Options that are fields of a recipe as they are."""


@Parameter(name="*")
@dataclass(frozen=True)
class DataOptions:
    """Which data, and which part of them."""

    data: Annotated[
        str,
        Parameter(
            help="fashion_mnist_5k (shipped), digits, diabetes, fashion_pairs, a .npz file with train_x, train_y, "
            "test_x, test_y, or a folder: idx, CIFAR, SVHN, images in train/CLASS and test/CLASS, table or texts with "
            "a data.toml, a plain text (docs/data.md)."
        ),
    ] = "fashion_mnist_5k"
    train_size: Annotated[
        int | None, Parameter(converter=written, help="Train on a random part of this many samples.")
    ] = None
    holdout_size: Annotated[
        int | None,
        Parameter(converter=written, help="Hold out this many training samples, for methods that need unseen ones."),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class RecipeOptions:
    """How models are trained: a file, or options, which go before it."""

    recipe: Annotated[
        Path | None,
        Parameter(help="TOML file with the fields of a recipe (docs/cli.md#recipes); options go before it."),
    ] = None
    model: Annotated[
        str | None,
        Parameter(
            help="Architecture: small_cnn, mlp, resnet8, resnet18, resnet20, resnet56, vgg11, vgg16, vgg19, "
            "text_transformer, causal_transformer, huggingface, or module:function of your own. The kind of the data "
            "chooses if left out: small_cnn for images, mlp for rows, a transformer for texts."
        ),
    ] = None
    options: Annotated[
        str,
        Parameter(
            help="Keyword arguments of the architecture, as a JSON object; what the shape of the data tells need not "
            "be given."
        ),
    ] = "{}"
    epochs: Annotated[
        int | None, Parameter(converter=written, help="Passes over the training set; 20, of transformers fewer.")
    ] = None
    optimizer: Annotated[
        str | None, Parameter(help="sgd (with momentum), adam or adamw, as for transformers, or one of torch.optim.")
    ] = None
    optimizer_options: Annotated[
        str | None, Parameter(help='What else the optimiser is made with, as a JSON object such as {"nesterov": true}.')
    ] = None
    learning_rate: Annotated[
        float | None, Parameter(help="Peak learning rate; 0.1 with sgd, 0.003 for transformers.")
    ] = None
    momentum: Annotated[float | None, Parameter(help="Momentum of sgd; 0.9 if left out.")] = None
    weight_decay: Annotated[float | None, Parameter(help="Weight decay; 0.0005 if left out.")] = None
    batch_size: Annotated[int | None, Parameter(converter=written, help="Samples per step; 64 if left out.")] = None
    schedule: Annotated[
        str | None,
        Parameter(help="Learning-rate schedule: one_cycle if left out, constant, linear, cosine, step and others."),
    ] = None
    milestones: Annotated[
        str | None, Parameter(help="Epochs after which schedule step multiplies the rate by gamma, as 100,150.")
    ] = None
    gamma: Annotated[float | None, Parameter(help="What it multiplies by; 0.1 if left out.")] = None
    augmentation: Annotated[
        str | None, Parameter(help="none, crop_flip, or module:function of your own, called with batches of inputs.")
    ] = None
    class_weights: Annotated[
        str | None,
        Parameter(
            help="Weights of the classes in the loss, one above 0 a class with commas between them (1,50), or "
            "balanced, so that all classes count the same; of classification only."
        ),
    ] = None
    shards: Annotated[
        int | None,
        Parameter(converter=written, help="Parts of the data with a model each, whose votes are averaged (sisa)."),
    ] = None
    slices: Annotated[
        int | None, Parameter(converter=written, help="Parts of each shard, with a checkpoint after each (sisa).")
    ] = None
    train_function: Annotated[
        str | None,
        Parameter(
            help="module:function of your own that trains models in place of these settings (docs/cli.md#recipes); "
            "needs --trust."
        ),
    ] = None

    def maker(self, *, trust: bool, unknown: bool = False) -> Callable[[Data], Recipe]:
        """Return what makes the recipe for data, after reading the file.

        With `unknown`, nothing said is a recipe of a training that nobody knows. Raises RecipeError for a file or
        values that cannot be read, and for a training function or a file that names code without `trust`.
        """
        from obliviate.training.recipe_file import read_recipe

        file = None if self.recipe is None else read_recipe(self.recipe)
        named = {self.train_function: "--train-function"} if self.train_function is not None else {}
        named |= {} if file is None else dict.fromkeys(file.code, str(file.path))
        if named and not trust:
            code, place = next(iter(named.items()))
            raise RecipeError(f"expected --trust for {code!r}, which {place} names, got none: its code is run; add it")
        options = self._given()
        settings: dict[str, Any] = {} if file is None else dict(file.settings)
        if unknown and not {*settings, *options} - {"model", "augmentation"}:
            options["train"] = "unknown"
        make = partial(self._make, settings | options)
        return make if file is None else lambda data: file.used(partial(make, data))

    def _given(self) -> dict[str, Any]:
        """The fields that options set."""
        options = {name: value for name in PLAIN if (value := getattr(self, name)) is not None}
        if self.model is not None:
            options["model"] = self.model
        if self.train_function is not None:
            options["train"] = self.train_function
        if self.optimizer_options is not None:
            options["optimizer_options"] = json_object(self.optimizer_options)
        if self.milestones is not None:
            try:
                options["milestones"] = tuple(int(epoch) for epoch in self.milestones.split(","))
            except ValueError as error:
                raise RecipeError(
                    f"expected epochs with commas between them (100,150), got {self.milestones!r}; correct --milestones"
                ) from error
        return options

    def _make(self, settings: dict[str, Any], data: Data) -> Recipe:
        from obliviate.training.defaults import recipe_for

        fields = dict(settings)
        model, options = fields.pop("model", None), {**fields.pop("model_options", {}), **json_object(self.options)}
        if self.class_weights is not None:
            fields["class_weights"] = weights_of(self.class_weights, data)
        return recipe_for(data, model=model, options=options, **fields)


FASHION: Final = DataOptions()
USUAL: Final = RecipeOptions()
