import dataclasses
import functools
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.errors import RecipeError
from obliviate.models import ARCHITECTURES
from obliviate.models.ensemble import Ensemble
from obliviate.models.mlp import MLP
from obliviate.task import Classification
from obliviate.training.augmentation import crop_flip
from obliviate.training.builders import resolve
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.schedules import SCHEDULES

SMALL = {"features": 4, "classes": 2, "hidden": (3,)}


def mine(*, width: int = 3) -> nn.Module:
    return nn.Linear(width, 2)


class Outer:
    class Inner(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)


@pytest.mark.parametrize("name", ["model", "optimizer", "schedule", "augmentation", "precision"])
def test_unknown_names_are_refused_and_the_known_ones_listed(name: str):
    listed = {
        "model": ", ".join(ARCHITECTURES),
        "optimizer": r"sgd, adam, adamw, or of torch\.optim \(.*\)",
        "schedule": ", ".join(SCHEDULES),
        "augmentation": "none, crop_flip",
        "precision": "auto, bfloat16, float32",
    }[name]
    options: dict[str, Any] = {name: "nothing"}
    with pytest.raises(RecipeError, match=rf"^expected .* of {listed}, got 'nothing'; "):
        Recipe(**options)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate", "shards", "slices"])
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_must_be_positive(name: str, value: int):
    options: dict[str, Any] = {name: value}
    with pytest.raises(RecipeError, match=rf"^expected {name} above 0, got {value}; "):
        Recipe(**options)


def test_a_learning_rate_that_is_no_number_is_refused():
    with pytest.raises(RecipeError, match=r"^expected learning_rate above 0, got nan; "):
        Recipe(learning_rate=math.nan)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(model="mlp", model_options={"features": 4}, optimizer="adamw", augmentation="crop_flip", momentum=0.5),
        Recipe(epochs=1, batch_size=2, learning_rate=3.0, weight_decay=0.0, schedule="step", precision="float32"),
        Recipe(shards=5, slices=10),
        Recipe(slices=2),
        Recipe(class_weights=(1.0, 49.5)),
    ],
)
def test_a_recipe_survives_json(recipe: Recipe):
    restored = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert restored == recipe
    assert restored.fingerprint == recipe.fingerprint


def test_a_recipe_from_json_builds_the_same_model():
    recipe = Recipe(model="mlp", model_options=SMALL)
    restored = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert restored.fingerprint == recipe.fingerprint
    assert weights_sha256(restored.build(seed=1)) == weights_sha256(recipe.build(seed=1))


def test_unknown_fields_are_refused():
    with pytest.raises(RecipeError, match=r"^expected recipe fields augmentation, .*, got dropout, lr; "):
        Recipe.from_dict({"lr": 0.1, "epochs": 3, "dropout": 0.5})


def test_the_fingerprint_changes_with_every_field():
    other: dict[str, Any] = {
        "model": "mlp",
        "model_options": {"classes": 3},
        "epochs": 3,
        "batch_size": 3,
        "optimizer": "adam",
        "learning_rate": 0.3,
        "momentum": 0.3,
        "weight_decay": 0.3,
        "schedule": "linear",
        "augmentation": "crop_flip",
        "precision": "float32",
        "shards": 3,
        "slices": 3,
        "class_weights": (1.0, 3.0),
        "optimizer_options": {"nesterov": True},
        "gamma": 0.3,
        "train": "unknown",
    }
    step = Recipe(schedule="step")
    assert step.fingerprint != Recipe(schedule="step", milestones=(3,)).fingerprint
    other["milestones"] = ()
    assert other.keys() == {field.name for field in dataclasses.fields(Recipe)}
    del other["milestones"]  # which need a schedule of their own
    fingerprints = {Recipe().fingerprint, *(Recipe(**{name: value}).fingerprint for name, value in other.items())}
    assert len(fingerprints) == len(other) + 1
    assert Recipe(model_options={"classes": 3, "width": 4}).fingerprint == (
        Recipe(model_options={"width": 4, "classes": 3}).fingerprint
    )


def test_recipes_without_shards_are_written_and_read_as_before_there_were_any():
    assert Recipe().fingerprint == "9099b4ae4258a37f"
    assert not {"shards", "slices"} & Recipe().to_dict().keys()
    assert Recipe(slices=2).to_dict()["shards"] == 1
    assert "class_weights" not in Recipe().to_dict()
    assert Recipe.from_dict(Recipe().to_dict()) == Recipe(shards=1, slices=1)


@pytest.mark.parametrize(("shards", "slices"), [(3, 1), (1, 2)])
def test_a_recipe_in_shards_builds_an_ensemble_of_different_constituents(shards: int, slices: int):
    model = Recipe(model="mlp", model_options=SMALL, shards=shards, slices=slices).build(seed=0)
    assert isinstance(model, Ensemble)
    assert len(model) == len({weights_sha256(constituent) for constituent in model.constituents}) == shards


def test_building_is_a_function_of_the_seed_and_leaves_the_global_random_state_alone():
    recipe = Recipe(model="mlp", model_options=SMALL)
    torch.manual_seed(99)  # another seed than those below, whatever ran before
    before = torch.get_rng_state()
    first = weights_sha256(recipe.build(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert weights_sha256(recipe.build(seed=1)) == first
    assert weights_sha256(recipe.build(seed=2)) != first


@pytest.mark.parametrize("options", [{"width": 3}, {"features": "many"}])
def test_options_that_the_architecture_does_not_take_are_refused(options: dict[str, Any]):
    with pytest.raises(RecipeError, match=r"(?s)^expected options that mlp takes, got .*; correct `model_options`$"):
        Recipe(model="mlp", model_options=options).build(seed=0)


# Models of the user's own


def test_a_users_function_is_called_with_the_options():
    recipe = Recipe(model=mine, model_options={"width": 5})
    model = recipe.build(seed=0)
    assert isinstance(model, nn.Linear)
    assert model.in_features == 5
    assert recipe.model_name == f"{__name__}:mine"
    assert recipe.to_dict()["model"] == recipe.model_name


def test_a_module_and_a_name_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_models.py").write_text(
        "from torch import nn\nclass A:\n    class B(nn.Linear):\n        def __init__(self): super().__init__(2, 3)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(model="my_models:A.B")
    assert recipe.importable
    assert type(recipe.build(seed=0)).__qualname__ == "A.B"
    again = Recipe(model=resolve("my_models:A.B"))
    assert again.to_dict() == recipe.to_dict()
    assert again.fingerprint == recipe.fingerprint
    sys.modules.pop("my_models")


@pytest.mark.parametrize("name", ["no_such_module:f", "math:no_such_function", ":f", ".relative:f", "math:", ":"])
def test_a_name_that_cannot_be_imported_is_refused(name: str):
    with pytest.raises(RecipeError, match=r"^expected an importable model, got '.*; install its package"):
        Recipe(model=name).build(seed=0)


def test_what_cannot_be_called_is_no_model() -> None:
    with pytest.raises(RecipeError, match=r"^expected a function or class that builds a model, got float 'math:pi'; "):
        Recipe(model="math:pi").build(seed=0)
    with pytest.raises(RecipeError, match=r"got 'my_models\.build'; .* as module:function$"):
        Recipe(model="my_models.build")


class Makes:
    """An object that makes models."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self) -> nn.Module:
        return nn.Linear(self.width, 2)


def two(first: int, second: int, *, third: int = 1) -> nn.Module:
    return nn.Linear(first, 100 * second + third)


def variadic(*widths: int) -> nn.Module:
    return nn.Linear(widths[0], widths[1])


def test_a_partial_is_named_by_its_function_and_its_arguments():
    recipe = Recipe(model=functools.partial(functools.partial(two, 4, third=7), second=3), model_options={"third": 9})
    assert recipe == Recipe(model=two, model_options={"first": 4, "third": 9, "second": 3})
    assert recipe.model_name == f"{__name__}:two"
    assert recipe.importable
    model = recipe.build(seed=0)
    assert isinstance(model, nn.Linear)
    assert (model.in_features, model.out_features) == (4, 309)
    assert recipe.to_dict()["model_options"] == {"first": 4, "third": 9, "second": 3}
    assert not Recipe(model=functools.partial(lambda **_: nn.Linear(1, 1), d=4)).importable


@pytest.mark.parametrize(
    ("partial", "message"),
    [
        (
            functools.partial(cast(Any, two), 1, 2, 3),
            r"expected arguments that .*:two takes, got \(1, 2, 3\) \(too many",
        ),
        (
            functools.partial(variadic, 1, 2),
            r"expected arguments with names, got \(1, 2\) for .*:variadic; pass them by",
        ),
    ],
)
def test_a_partial_whose_arguments_have_no_names_is_refused(partial: Any, message: str):
    with pytest.raises(RecipeError, match=message):
        Recipe(model=partial)


def test_an_object_that_can_be_called_is_named_by_its_class():
    recipe = Recipe(model=Makes(3))
    assert recipe.model_name == f"{__name__}:Makes"
    assert recipe.importable
    assert isinstance(recipe.build(seed=0), nn.Linear)


def test_functions_and_classes_among_the_options_are_is_known_of_their_names():
    recipe = Recipe(model=mine, model_options={"norm": nn.BatchNorm2d, "act": torch.relu, "widths": (1, 2)})
    assert recipe.to_dict()["model_options"]["norm"] == "torch.nn.modules.batchnorm:BatchNorm2d"
    assert recipe.fingerprint != replace(recipe, model_options={"norm": nn.BatchNorm1d}).fingerprint
    with pytest.raises(
        RecipeError, match=r"^expected model options of numbers, .*, got Tensor; make it in the function"
    ):
        Recipe(model=mine, model_options={"table": torch.zeros(2)}).to_dict()


def main_function() -> nn.Module:
    return nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("model", "importable"),
    [("mlp", True), ("a:b", True), (MLP, True), (mine, True), (Outer.Inner, True), (lambda: nn.Linear(1, 1), False)],
)
def test_only_what_a_module_holds_can_be_built_by_another_process(model: Any, importable: bool):
    assert Recipe(model=model).importable is importable


def test_what_the_main_module_holds_cannot_be_built_by_another_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(main_function, "__module__", "__main__")
    assert not Recipe(model=main_function).importable


# Optimiser and augmentation


@pytest.mark.parametrize(
    ("name", "cls", "group"),
    [
        ("sgd", torch.optim.SGD, {"lr": 0.3, "momentum": 0.4, "weight_decay": 0.2}),
        ("adam", torch.optim.Adam, {"lr": 0.3, "weight_decay": 0.2}),
        ("adamw", torch.optim.AdamW, {"lr": 0.3, "weight_decay": 0.2}),
    ],
)
def test_the_optimiser_has_the_settings_of_the_recipe(name: str, cls: Callable[..., Any], group: dict[str, float]):
    model = mine()
    recipe = Recipe(model=mine, optimizer=name, learning_rate=0.3, momentum=0.4, weight_decay=0.2)
    optimizer = recipe.make_optimizer(model)
    assert type(optimizer) is cls
    assert [id(weight) for weight in optimizer.param_groups[0]["params"]] == [
        id(weight) for weight in model.parameters()
    ]
    assert {key: optimizer.param_groups[0][key] for key in group} == group


@pytest.mark.parametrize(
    ("name", "options", "cls"),
    [
        ("RMSprop", {"alpha": 0.9, "momentum": 0.5}, torch.optim.RMSprop),
        ("Adagrad", {}, torch.optim.Adagrad),
        ("sgd", {"nesterov": True}, torch.optim.SGD),
        ("AdamW", {"betas": [0.8, 0.95]}, torch.optim.AdamW),
    ],
)
def test_any_optimiser_of_torch_is_made_by_its_name_with_options(name: str, options: dict[str, Any], cls: type[Any]):
    recipe = Recipe(model=mine, optimizer=name, optimizer_options=options, learning_rate=0.03, weight_decay=0.01)
    optimizer = recipe.make_optimizer(mine())
    assert type(optimizer) is cls
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.03, 0.01)
    assert {key: list(group[key]) if key == "betas" else group[key] for key in options} == options
    assert Recipe.from_dict(recipe.to_dict() | {"model": mine}) == recipe
    assert group.get("momentum", 0.9) == options.get("momentum", 0.9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "LBFGS"}, r"^expected an optimizer of sgd, .*, got 'LBFGS'; "),
        ({"optimizer": "RMSprop", "momentum": 0.5}, r"^expected momentum for sgd alone, got 0\.5 for RMSprop; "),
        ({"optimizer_options": {"momentum": 0.5}}, r"^expected optimizer_options of sgd without momentum, got it; "),
        ({"optimizer_options": {"lr": 0.5}}, r"^expected optimizer_options without lr, got it; .*learning_rate"),
        ({"optimizer_options": {"speed": 1}}, r"^expected optimizer_options that SGD takes .*, got speed; "),
        (
            {"optimizer": "adam", "optimizer_options": {"eps": -1.0}},
            r"^expected optimizer_options in the range of ",
        ),
        ({"schedule": "step", "milestones": (5, 3)}, r"^expected milestones as rising epochs between 0 and 20, got"),
        ({"milestones": (5,)}, r"^expected milestones of schedule step, got one_cycle; "),
    ],
)
def test_settings_of_optimisers_and_schedules_that_cannot_be_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=message):
        Recipe(**settings)


def shifted(x: Tensor) -> Tensor:
    return x + torch.rand(len(x), 1)


def test_an_augmentation_of_ones_own_is_read_through_and_known_by_its_code(tiny: Samples, tiny_recipe: Recipe):
    recipe = dataclasses.replace(tiny_recipe, augmentation=shifted)
    torch.manual_seed(0)
    changed = recipe.augmented(tiny).everything().x
    torch.manual_seed(0)
    assert changed.equal(shifted(tiny.everything().x))
    written = recipe.to_dict()
    assert written["augmentation"].endswith("test_recipe:shifted")
    assert len(written["augmentation_sha256"]) == 64
    assert recipe.importable
    assert not dataclasses.replace(tiny_recipe, augmentation=lambda x: x).importable
    for function, message in (
        (lambda x: x[:1], r"^expected .* to return a batch of 60 inputs, got \(1, 6\); "),
        (lambda x: x @ x, r"^expected .* to transform a batch of inputs of shape \(60, 6\), got RuntimeError: "),
    ):
        with pytest.raises(RecipeError, match=message):
            dataclasses.replace(tiny_recipe, augmentation=function).augmented(tiny).everything()


def test_a_training_by_any_optimiser_resumes_bit_for_bit(
    tiny: Samples,
    tiny_recipe: Recipe,
    three_classes: Classification,
    tmp_path: Path,
    interrupt: Callable[..., list[int]],
):
    recipe = dataclasses.replace(
        tiny_recipe, optimizer="RMSprop", learning_rate=0.01, schedule="step", milestones=(1, 2), augmentation=shifted
    )
    whole = weights_sha256(Run(three_classes, recipe=recipe).train(tiny))
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        Run(three_classes, recipe=recipe, folder=tmp_path).train(tiny)
    assert weights_sha256(Run(three_classes, recipe=recipe, folder=tmp_path).train(tiny)) == whole


def test_samples_are_read_through_the_augmentation():
    images = Samples.from_tensors(torch.rand(5, 1, 4, 4), torch.zeros(5).long())
    assert Recipe().augmented(images) is images
    torch.manual_seed(4)
    read = Recipe(augmentation="crop_flip").augmented(images).everything()
    torch.manual_seed(4)
    assert torch.equal(read.x, crop_flip(images.everything().x))
    assert read.ids.tolist() == images.ids.tolist()


@pytest.mark.parametrize(
    "returned", [None, {"weight": 1}, nn.Linear, lambda x: x], ids=lambda value: type(value).__name__
)
def test_a_function_that_returns_no_module_is_refused(returned: Any):
    recipe = Recipe(model=lambda: returned, epochs=1)
    with pytest.raises(
        RecipeError, match=rf"^expected a function that returns an nn.Module, got {type(returned).__name__}"
    ):
        recipe.build(seed=0)


def test_building_gives_the_state_of_every_gpu_back(monkeypatch: pytest.MonkeyPatch):
    """What can be seen of it without one: each device's state is read before and set after."""
    states = {0: torch.tensor([1]), 1: torch.tensor([2])}
    restored: dict[int, Tensor] = {}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda i: states[i])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, i: restored.update({i: state}))
    Recipe(model="mlp", model_options=SMALL).build(seed=1)
    assert restored == states
