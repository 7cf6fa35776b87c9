"""What of a step each process computes, what that adds up to, and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.errors import ObliviateError, RecipeError, TrainingError
from obliviate.experiment import Experiment
from obliviate.task import Classification
from obliviate.training.compute import computing
from obliviate.training.descent import Descent
from obliviate.training.division import Division, blocks
from obliviate.training.optimizers import SGD
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Batch


def batch(n: int) -> Batch:
    return Batch(torch.arange(2.0 * n).reshape(n, 2), torch.arange(n), np.array([f"k{place}" for place in range(n)]))


def mean_of_first(parts: tuple[Any, ...]) -> float:
    """A loss that is a mean over samples, of each of the batches."""
    return sum(float(part.x.mean()) * (place + 1) for place, part in enumerate(parts))


@pytest.mark.parametrize("lengths", [(8,), (7,), (1,), (6, 6), (7, 7), (12, 4), (12, 5), (3, 16)])
@pytest.mark.parametrize(("processes", "pieces"), [(1, 2), (2, 1), (2, 2), (3, 1)])
def test_what_all_compute_is_the_loss_of_the_whole_batch(lengths: tuple[int, ...], processes: int, pieces: int) -> None:
    parts = tuple(map(batch, lengths))
    for sharded in (False, True):
        shares = [Division(processes, rank, pieces, sharded).of(parts) for rank in range(processes)]
        total = sum(weight * mean_of_first(piece) for share in shares for piece, weight in share)
        assert total / (processes if sharded else 1) == pytest.approx(mean_of_first(parts))
        assert len({len(share) for share in shares}) == 1  # so that all take as many ways back


def test_a_batch_is_cut_with_its_ids_and_what_is_no_rows_goes_along() -> None:
    ((first, note), weight), ((second, same), other) = Division(pieces=2).of((batch(5), "note"))
    assert (first.ids.tolist(), second.ids.tolist()) == (["k0", "k1", "k2"], ["k3", "k4"])
    assert (first.y.tolist(), second.y.tolist()) == ([0, 1, 2], [3, 4])
    assert (note, same, weight, other) == ("note", "note", 0.6, 0.4)


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.fixture
def trained(tiny: Samples, tiny_recipe: Recipe, three_classes: Classification) -> Callable[..., torch.Tensor]:
    def train(**options: Any) -> torch.Tensor:
        with computing(**options):
            return weights(workflow.train(Experiment(three_classes, tiny_recipe, tiny)).model)

    return train


@pytest.mark.parametrize("pieces", [2, 3, 16])
def test_pieces_give_the_weights_of_whole_batches(trained: Callable[..., torch.Tensor], pieces: int) -> None:
    whole, divided = trained(), trained(accumulate=pieces)
    assert 0 < float((whole - divided).abs().max()) < 1e-5


def test_gradient_checkpointing_changes_no_bit(trained: Callable[..., torch.Tensor]) -> None:
    assert trained(gradient_checkpointing=True).equal(trained())


class Counting(nn.Linear):
    """Counts how often it is computed."""

    calls = 0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(input)


def test_gradient_checkpointing_computes_blocks_again_and_leaves_the_model_as_it_was(
    tiny: Samples, three_classes: Classification
) -> None:
    with computing(gradient_checkpointing=True):
        run = Run(three_classes, device="cpu")
    model = nn.Sequential(Counting(6, 8), nn.ReLU(), Counting(8, 3))
    run.fit(model, run.batches(tiny, 60, 0), three_classes.loss, run.optimizer(model, SGD(learning_rate=0.1)))
    assert [block.calls for block in blocks(model)] == [2, 2]  # pyright: ignore[reportAttributeAccessIssue]
    assert all("forward" not in vars(block) for block in blocks(model))


def test_blocks_are_the_outermost_layers_in_lists_without_statistics_of_batches() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model = nn.ModuleDict({"body": nn.ModuleList([nn.Sequential(nn.Linear(2, 2)), inner]), "head": nn.Linear(2, 2)})
    assert blocks(model) == [model["body"][0]]  # pyright: ignore[reportIndexIssue]


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def own(model: nn.Module, dataset: Any, *, seed: int, device: torch.device) -> None:
    raise AssertionError("it is never asked")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"shards": 2}, RecipeError, "expected one training by the engine, .* got shards or slices"),
        ({"class_weights": (1.0, 2.0, 3.0)}, RecipeError, "expected a loss that is a mean over samples, .* weights"),
        (
            {"model": normed, "model_options": {}},
            TrainingError,
            "expected a model that answers each sample by itself, to divide batches, got 1 BatchNorm1d",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_before_any_step(
    tiny: Samples,
    tiny_recipe: Recipe,
    three_classes: Classification,
    changed: Any,
    error: type[ObliviateError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Descent, "step", lambda *_: pytest.fail("a step was taken"))
    recipe = dataclasses.replace(tiny_recipe, **changed)
    with computing(accumulate=2), pytest.raises(error, match=message):
        workflow.train(Experiment(three_classes, recipe, tiny))


def test_a_training_function_is_refused(tiny: Samples, three_classes: Classification) -> None:
    recipe = Recipe(model="mlp", model_options={"features": 6, "classes": 3}, train=own)
    message = "expected one training by the engine, to divide its batches, got a training function"
    with computing(accumulate=2), pytest.raises(RecipeError, match=message):
        workflow.train(Experiment(three_classes, recipe, tiny))


def test_processes_that_nobody_started_are_refused(three_classes: Classification) -> None:
    message = "expected processes for parallel='ddp', got this one alone; start the script with `torchrun"
    with computing(parallel="ddp"), pytest.raises(TrainingError, match=message):
        Run(three_classes)


@pytest.mark.parametrize("options", [{"parallel": "ring"}, {"accumulate": 0}])
def test_ways_that_there_are_not_are_refused(options: Any) -> None:
    with pytest.raises(TrainingError, match="expected"), computing(**options):
        pass


def test_nothing_is_kept_in_a_folder_by_several_processes(
    tiny: Samples, tiny_recipe: Recipe, three_classes: Classification, tmp_path: Path
) -> None:
    experiment = Experiment(three_classes, tiny_recipe, tiny)
    with computing(parallel="ddp"), pytest.raises(TrainingError, match="expected one process for what is kept in"):
        workflow.train_references(experiment, folder=tmp_path / "pool", models=4)
    assert list(tmp_path.iterdir()) == []
