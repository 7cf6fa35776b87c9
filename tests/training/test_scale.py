"""The scale of relative settings: read off a recipe, or found from the model."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.sources import Data, load_data
from obliviate.errors import MethodError, RecipeError
from obliviate.experiment import Experiment
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import RATES, Scale, found_scale
from obliviate.types import Batch

MakeNet = Callable[[Samples], nn.Module]


def trained(recipe: Recipe, samples: Samples, task: Classification) -> nn.Module:
    return workflow.train(Experiment(task, recipe, samples)).model


@pytest.fixture(scope="module")
def words() -> Samples:
    """Texts of 12 tokens, whose class one of them says."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    x = torch.randint(1, 50, (400, 12), generator=generator)
    x[:, 3] = y + 50
    return Samples.from_tensors(x, y)


@pytest.fixture(scope="module")
def reader(words: Samples) -> nn.Module:
    """Trained by AdamW at 0.003."""
    options = {"vocabulary": 60, "length": 12, "classes": 4}
    recipe = Recipe(
        model="text_transformer",
        model_options=options,
        epochs=8,
        optimizer="adamw",
        learning_rate=3e-3,
        precision="float32",
    )
    return trained(recipe, words, Classification(classes=4))


# ------------------------------------------------------------------------------------------- of a recipe


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.7), ("adam", 0.9), ("adamw", 0.9)])
def test_it_is_the_recipes(optimizer: str, momentum: float) -> None:
    recipe = Recipe(
        optimizer=optimizer,
        learning_rate=0.3,
        momentum=0.7,
        weight_decay=0.02,
        batch_size=17,
        epochs=9,
        schedule="step",
    )
    expected = Scale(
        optimizer=optimizer, learning_rate=0.3, momentum=momentum, weight_decay=0.02, batch_size=17, epochs=9
    )
    assert Scale.of(recipe) == expected


# ------------------------------------------------------------------------------------------- found


def test_of_the_shipped_data_it_is_near_the_rate_that_trained_the_model(data: Data, task: Classification) -> None:
    few = data.train.select(data.train.ids[:1000])
    model = trained(Recipe(epochs=10), few, task)
    for samples in (few, data.train.select(data.train.ids[:100])):
        scale = found_scale(model, samples, task, seed=0)
        assert scale == Scale(optimizer="sgd", learning_rate=scale.learning_rate)
        assert 0.03 < scale.learning_rate < 0.33


def test_of_rows_of_numbers_it_is_near_the_rate_that_trained_the_model() -> None:
    digits, task = load_data("digits"), Classification(classes=10)
    rows = digits.train.everything()
    samples = Samples.from_tensors(rows.x.flatten(1), rows.y)
    recipe = Recipe(model="mlp", model_options={"features": 64, "classes": 10}, epochs=10)
    assert 0.03 < found_scale(trained(recipe, samples, task), samples, task, seed=0).learning_rate < 0.33


def test_of_a_network_with_batch_norm_it_is_near_the_rate_that_trained_the_model() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 10
    patterns = torch.randn(10, 3, 16, 16, generator=generator)
    samples = Samples.from_tensors(patterns[y] + torch.randn(200, 3, 16, 16, generator=generator), y)
    recipe = Recipe(model="resnet8", model_options={"channels": 3, "classes": 10}, epochs=10)
    task = Classification(classes=10)
    assert 0.03 < found_scale(trained(recipe, samples, task), samples, task, seed=0).learning_rate < 0.33


def test_models_of_tokens_are_asked_by_adamw(reader: nn.Module, words: Samples) -> None:
    scale = found_scale(reader, words, Classification(classes=4), seed=0)
    assert scale.optimizer == "adamw"
    assert 1e-3 < scale.learning_rate < 1e-2


def test_a_model_with_embeddings_is_asked_by_adamw(tiny: Samples, three_classes: Classification) -> None:
    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.last = nn.Embedding(4, 3), nn.Linear(3, 3)
            self.width = tiny.everything().x[0].numel()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.table((x.flatten(1).mean(1).sigmoid() * 3.99).long()))

    assert found_scale(Embedding(), tiny, three_classes, seed=0).optimizer == "adamw"


def test_it_is_a_function_of_the_seed_and_leaves_everything_as_it_was(reader: nn.Module, words: Samples) -> None:
    reader.train()
    reader.zero_grad(set_to_none=True)
    before, modes = weights_sha256(reader), [module.training for module in reader.modules()]
    numpy_state, torch_state = str(np.random.get_state()), torch.get_rng_state()
    task = Classification(classes=4)
    first = found_scale(reader, words, task, seed=3)
    assert torch.get_rng_state().equal(torch_state)
    torch.rand(5)
    torch_state = torch.get_rng_state()
    assert found_scale(reader, words, task, seed=3) == first
    assert weights_sha256(reader) == before
    assert [module.training for module in reader.modules()] == modes
    assert all(parameter.grad is None for parameter in reader.parameters())
    assert str(np.random.get_state()) == numpy_state
    assert torch.get_rng_state().equal(torch_state)
    reader.eval()


def test_it_takes_no_more_than_ninety_steps_of_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.randn(1500, 4, generator=torch.Generator().manual_seed(0))
    samples = Samples.from_tensors(x, (x[:, 0] > 0).long())
    task, sizes, loss = Classification(classes=2), list[int](), Classification.loss

    def counted(self: Classification, model: nn.Module, batch: Batch) -> torch.Tensor:
        sizes.append(len(batch))
        return loss(self, model, batch)

    monkeypatch.setattr(Classification, "loss", counted)
    found_scale(nn.Linear(4, 2), samples, task, seed=0)
    assert len(sizes) <= 90
    assert set(sizes) == {64}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_samples_are_enough(count: int, tiny: Samples, three_classes: Classification, make_net: MakeNet) -> None:
    few = tiny.select(tiny.ids[:count])
    scale = found_scale(make_net(tiny), few, three_classes, seed=0)
    assert scale.batch_size == count
    assert RATES["sgd"][0] / 4 < scale.learning_rate < 0.33


@pytest.fixture
def make_net() -> MakeNet:
    """With batch norm, which needs two samples."""

    def make(samples: Samples) -> nn.Module:
        width = samples.everything().x[0].numel()
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    return make


def test_a_model_that_no_rate_spares_is_refused(
    tiny: Samples,
    three_classes: Classification,
    make_net: MakeNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RATES, "sgd", (1e3, 1e4))
    with pytest.raises(
        MethodError, match=r"expected a learning rate at which ten steps of sgd do no harm, got .*; give"
    ):
        found_scale(make_net(tiny), tiny, three_classes, seed=0)


# ------------------------------------------------------------------------------------------- in a run


def test_a_run_has_the_recipes_or_finds_it_and_says_so(
    tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_recipe.build(seed=0)
    run = Run(three_classes, recipe=tiny_recipe, precision="float32")
    assert run.scale(model, tiny) == Scale.of(tiny_recipe)
    assert not run.notes
    run, before = Run(three_classes, seed=5, precision="float32"), weights_sha256(model)
    with run.untimed():
        scale = run.scale(model, tiny)
    assert scale == found_scale(copy.deepcopy(model), tiny, three_classes, seed=5)
    assert run.notes == {"found_learning_rate": scale.learning_rate}
    assert run.seconds > 0
    assert weights_sha256(model) == before


@pytest.mark.parametrize(("name", "kin"), [("NAdam", "adam"), ("RMSprop", "adam"), ("AdamW", "adamw"), ("SGD", "sgd")])
def test_optimisers_whose_rates_are_those_of_another_are_gone_on_from_by_that(name: str, kin: str) -> None:
    assert Scale.of(Recipe(optimizer=name, learning_rate=0.003)).rate(kin) == 0.003


@pytest.mark.parametrize(
    "recipe", [Recipe(optimizer="Adagrad"), Recipe(train="my_training:train")], ids=["Adagrad", "training function"]
)
def test_where_a_recipe_does_not_say_it_is_found_from_the_model(
    recipe: Recipe, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    assert not Scale.is_known_of(recipe)
    with pytest.raises(RecipeError, match=r"^expected a recipe by sgd, adam, .* or their kin .*, got (Ada|a training)"):
        Scale.of(recipe)
    run = Run(three_classes, recipe=recipe)
    assert run.scale(tiny_recipe.build(seed=0), tiny).learning_rate == run.notes["found_learning_rate"]
