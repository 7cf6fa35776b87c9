"""Training by a function of the user's own: what it is given, what is refused of it, and that all of it is used."""

import linecache
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.errors import MethodError, RecipeError, TrainingError
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.retrain import Retrain
from obliviate.task import Classification
from obliviate.training import own
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.own import Pairs
from obliviate.training.recipe import Recipe
from obliviate.training.scale import Scale

OPTIONS = {"features": 6, "classes": 3, "hidden": (8,)}
TRAINING = """
import torch
from torch import nn


def train(model, dataset, *, seed, device):
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr={rate})
    for epoch in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.to(device)), y.to(device)).backward()
            optimizer.step()
    return model


def broken(model, dataset, *, seed, device):
    raise KeyError("no such column")
"""


@pytest.fixture
def module(write_module: Any) -> str:
    """A module of the user's with a training function in it."""
    path: Path = write_module("my_training")
    path.write_text(TRAINING.format(rate=0.01), encoding="utf-8")
    return "my_training"


def experiment(samples: Samples, train: Any) -> Experiment:
    recipe = Recipe(model="mlp", model_options=OPTIONS, train=train)
    return Experiment(
        Classification(classes=3), recipe, samples.select(samples.ids[:40]), samples.select(samples.ids[40:])
    )


def stepping(model: nn.Module, dataset: Pairs, *, seed: int, device: torch.device) -> nn.Module:
    del seed, device
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = np.random.rand() + random.random() + dataset[0][0].mean()
            parameter.add_(torch.randn_like(parameter) + drawn)
    return model


def test_a_model_is_trained_by_it_the_same_for_a_seed_and_another_for_another(tiny: Samples) -> None:
    recipe = Recipe(model="mlp", model_options=OPTIONS, train=stepping)
    runs = [Experiment(Classification(classes=3), recipe, tiny, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (weights_sha256(workflow.train(ours).model) for ours in runs)
    assert first == again != other


def test_what_it_draws_leaves_global_generators_as_they_were(
    tiny: Samples,
    tiny_recipe: Recipe,
    unchecked: None,  # the checks themselves draw from Python's
) -> None:
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    own.train(stepping, tiny_recipe.build(seed=0), tiny, seed=0, device=torch.device("cpu"))
    assert torch.get_rng_state().equal(states[0])
    assert str(np.random.get_state()) == str(states[1])
    assert random.getstate() == states[2]


def test_it_is_given_pairs_of_inputs_and_targets_with_their_ids(tiny: Samples) -> None:
    pairs = Pairs(tiny)
    x, y = pairs[3]
    assert (tuple(x.shape), int(y), len(pairs)) == ((6,), int(tiny.everything().y[3]), 60)
    assert pairs.samples.ids[3] == "s03"
    assert pairs[-1][0].equal(pairs[59][0])
    with pytest.raises(IndexError, match=r"^expected a number below 60, got 60; "):
        pairs[60]


def test_references_retrained_models_and_shadows_are_trained_by_it_in_other_processes(
    tiny: Samples, module: str, tmp_path: Path
) -> None:
    ours = experiment(tiny, f"{module}:train")
    pool = workflow.train_references(ours, folder=tmp_path / "a", models=4, workers=2)
    here = workflow.train_references(ours, folder=tmp_path / "b", models=4, workers=0)
    assert all(np.array_equal(pool.logits[place], here.logits[place]) for place in range(4))
    original, split = workflow.train(ours), ours.split(ours.train.ids[:12])
    retrained = workflow.unlearn(original, split, Retrain(), seed=1)
    assert retrained.role == "retrained"
    unlearned = workflow.unlearn(original, split, FineTune(epochs=1))
    assert unlearned.notes["found_learning_rate"] > 0  # for a function tells no rate
    method = FineTune(epochs=1, optimizer="sgd", learning_rate=0.01, batch_size=16, momentum=0.9, weight_decay=0.0)
    assert len(workflow.train_shadows(ours, pool, [(split, method)], workers=0)) == 4


def test_its_code_is_part_of_what_it_is_called_by(tiny: Samples, module: str, tmp_path: Path) -> None:
    recipe = Recipe(model="mlp", model_options=OPTIONS, train=f"{module}:train")
    written = recipe.to_dict()
    assert written["train"] == "my_training:train"
    assert "epochs" not in written
    assert Recipe.from_dict(written).fingerprint == recipe.fingerprint
    path = tmp_path / "my_training.py"
    path.write_text(TRAINING.format(rate=0.02), encoding="utf-8")
    linecache.clearcache()
    sys.modules.pop("my_training")
    assert recipe.fingerprint != Recipe(model="mlp", model_options=OPTIONS).fingerprint
    with pytest.raises(RecipeError, match=r"^expected the training function my_training:train as it was, got other "):
        Recipe.from_dict(written)


def test_an_error_in_it_is_told_with_its_place(tiny: Samples, module: str) -> None:
    wanted = (
        r"^expected my_training:broken to train a model on 40 samples, got KeyError: 'no such column' "
        r"\(.*my_training\.py, line \d+, in broken\); "
    )
    with pytest.raises(TrainingError, match=wanted):
        workflow.train(experiment(tiny, f"{module}:broken"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda model, dataset, *, seed, device: None, r"to return the trained model, got NoneType; "),
        (lambda model, dataset, *, seed, device: nn.Linear(6, 3), r"a model of the architecture that it is given, got"),
        (lambda model, dataset, *, seed, device: model, r"to train the model, got its fresh weights back; "),
    ],
    ids=["nothing", "another model", "untrained"],
)
def test_what_it_returns_is_checked(tiny: Samples, function: Any, message: str) -> None:
    with pytest.raises((RecipeError, TrainingError), match=message):
        workflow.train(experiment(tiny, function))


def test_weights_that_are_not_finite_are_refused(tiny: Samples) -> None:
    def ruining(model: nn.Module, dataset: Pairs, *, seed: int, device: torch.device) -> nn.Module:
        next(model.parameters()).data.fill_(float("nan"))
        return model

    with pytest.raises(TrainingError, match=r"^expected finite weights from .*ruining, got NaN or Inf; "):
        workflow.train(experiment(tiny, ruining))


def test_settings_that_it_replaces_are_refused_beside_it() -> None:
    with pytest.raises(RecipeError, match=r"^expected settings of training or a function that trains, got epochs, "):
        Recipe(train="my_training:train", epochs=3, learning_rate=0.2)
    with pytest.raises(RecipeError, match=r"^expected a training function or its module:name, got 'train'; "):
        Recipe(train="train")
    with pytest.raises(RecipeError, match=r"without a training function for shards and slices"):
        Recipe(train="my_training:train", shards=2)


def test_a_training_that_nobody_knows_cannot_be_repeated(tiny: Samples, tmp_path: Path) -> None:
    ours = experiment(tiny, "unknown")
    assert not Scale.is_known_of(ours.recipe)
    wanted = r"^expected a recipe or a training function to train mlp by, got none: how the model was trained is not "
    with pytest.raises(RecipeError, match=wanted):
        workflow.train(ours)
    with pytest.raises(RecipeError, match=wanted):
        workflow.train_references(ours, folder=tmp_path, models=4, workers=0)
    trained = workflow.train(experiment(tiny, stepping))
    with pytest.raises(MethodError, match=r"^expected a recipe with epochs for a budget, got a training function"):
        workflow.within_budget(0.1, trained, ours.split(ours.train.ids[:5]), FineTune())


class Heads(nn.Module):
    """One logit for two classes, in a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(x), "features": x}


def fitting(model: nn.Module, dataset: Pairs, *, seed: int, device: torch.device) -> nn.Module:
    del seed, device
    x, y = (torch.stack(part) for part in zip(*dataset, strict=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x)["logits"][:, 0], y.float()).backward()
        optimizer.step()
    return model


def test_somebodys_loop_gets_what_the_model_answers_and_not_what_the_task_reads(tiny: Samples) -> None:
    batch = tiny.everything()
    samples = Samples.from_tensors(batch.x, (batch.y == 1).long(), ids=tiny.ids)
    train, test = samples.select(samples.ids[:40]), samples.select(samples.ids[40:])
    made = Experiment(Classification(classes=2), Recipe(model=Heads, train=fitting), train, test)
    original = workflow.train(made)
    assert not original.model._forward_hooks
    again = workflow.unlearn(original, made.split(train.ids[:5]), Retrain(), seed=1)
    for model in (original.model, again.model):
        right = (model(test.everything().x)["logits"][:, 0] > 0).long() == test.everything().y
        assert right.float().mean() > 0.8
