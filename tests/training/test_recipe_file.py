"""Recipes as TOML: every field, and mistakes with the lines that they stand in."""

import dataclasses
from pathlib import Path

import pytest

from obliviate.errors import RecipeError
from obliviate.training.recipe import Recipe
from obliviate.training.recipe_file import KINDS, read_recipe

PAPER = """
# ResNet-18 on CIFAR-10, as the papers train it
model = "resnet18"
epochs = 200
batch_size = 128
optimizer = "SGD"
learning_rate = 0.1
momentum = 0.9
weight_decay = 5e-4
schedule = "step"
milestones = [100, 150]
gamma = 0.1
augmentation = "crop_flip"
precision = "float32"
class_weights = [1.0, 2.0]
shards = 1
slices = 1

[model_options]
classes = 10

[optimizer_options]
nesterov = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_field_can_be_said(tmp_path: Path) -> None:
    file = read_recipe(written(tmp_path, PAPER))
    fields = {setting.name for setting in dataclasses.fields(Recipe)}
    assert set(KINDS) == fields
    assert set(file.settings) == fields - {"train"}
    recipe = file.used(lambda: Recipe(**file.settings))
    assert (recipe.optimizer, recipe.milestones, dict(recipe.optimizer_options)) == (
        "sgd",
        (100, 150),
        {"nesterov": True},
    )
    factor = recipe.factor
    assert callable(factor)
    assert [round(factor(epoch / 200), 6) for epoch in (99, 100, 149, 150, 199)] == [1, 0.1, 0.1, 0.01, 0.01]
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 3\nepoch = 4\n", r"^expected fields of a recipe, got 'epoch' \(.*, line 2\); did you mean epochs"),
        ("\n\nepochs = 'many'\n", r"^expected epochs to be a whole number, got 'many' \(.*, line 3\); "),
        ("learning_rate = true\n", r"^expected learning_rate to be a number, got True \(.*, line 1\); "),
        ("epochs = \n", r"^expected TOML in .*recipe\.toml, got .*line 1.*; "),
        ("momentum = 2.0\nepochs = 1\n", r"^expected momentum of at most 1, got 2; .*\(.*, line 1\)$"),
        ("epochs = 9\nmilestones = [5, 20]\n", r"^expected milestones of schedule step, got one_cycle; .*line 2\)$"),
        ("schedule = 'step'\nmilestones = [5, 20]\n", r"^expected milestones as rising epochs .* \[5, 20\].*line 2\)$"),
        ("\n[optimizer_options]\nspeed = 1\n", r"^expected optimizer_options that SGD takes .*, got speed.*line 2\)$"),
        ("optimizer = 'Fast'\n", r"^expected an optimizer of sgd, adam, adamw, or of torch\.optim .*'Fast'.*line 1\)$"),
    ],
    ids=["unknown", "kind", "boolean", "not TOML", "range", "schedule", "late", "option", "optimizer"],
)  # fmt: skip
def test_mistakes_are_told_with_their_lines(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)

    def used() -> Recipe:
        file = read_recipe(path)
        return file.used(lambda: Recipe(**file.settings))

    with pytest.raises(RecipeError, match=message):
        used()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^expected a recipe in .*, got No such file or directory; "):
        read_recipe(tmp_path / "none.toml")


def test_the_code_that_it_names_is_told(tmp_path: Path) -> None:
    text = 'model = "my:build"\naugmentation = "my:noise"\n'
    assert read_recipe(written(tmp_path, text)).code == ("my:build", "my:noise")
    assert read_recipe(written(tmp_path, 'model = "mlp"\n')).code == ()


def test_the_mark_that_editors_of_windows_write_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("epochs = 7\n", encoding="utf-8-sig")
    assert dict(read_recipe(tmp_path / "recipe.toml").settings) == {"epochs": 7}
