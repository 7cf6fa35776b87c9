import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import MethodError, TrainingError
from obliviate.task import Classification
from obliviate.training import optimizers
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Batch
from small_runs import ADAM, SGD, Noisy, linear, output, rows, run, trained


@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
def test_weights_are_a_function_of_the_seed(images: Samples, recipe: Recipe):
    torch.manual_seed(1)
    first = trained(recipe, images, seed=3)
    torch.manual_seed(2)
    np.random.default_rng(2)
    assert trained(recipe, images, seed=3) == first
    assert trained(recipe, images, seed=4) != first


def test_batches_depend_on_seed_and_epoch_only(tiny: Samples, three_classes: Classification):
    def orders(seed: int, epoch: int) -> tuple[str, ...]:
        torch.rand(epoch + 1)
        return tuple(name for batch in Run(three_classes, seed=seed).batches(tiny, 16, epoch) for name in batch.ids)

    seen = {orders(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert len(seen) == 9
    assert {orders(seed, epoch) for seed in range(3) for epoch in range(3)} == seen
    assert all(sorted(ids) == sorted(tiny.ids) for ids in seen)


def test_the_global_random_state_is_given_back(three_classes: Classification):
    training_run = run(seed=1)
    before = torch.get_rng_state()
    drawn = [torch.rand(2).tolist() for _ in training_run.epochs("stage", 3)]
    assert torch.equal(torch.get_rng_state(), before)
    for _ in training_run.epochs("stage", 3):
        torch.rand(3)
        break
    assert torch.equal(torch.get_rng_state(), before)
    assert len({tuple(two) for two in drawn}) == 3
    torch.manual_seed(77)
    assert [torch.rand(2).tolist() for _ in training_run.epochs("stage", 3)] == drawn
    assert [torch.rand(2).tolist() for _ in training_run.epochs("other", 3)] != drawn
    assert [torch.rand(2).tolist() for _ in run(seed=2).epochs("stage", 3)] != drawn


def test_fresh_models_are_built_from_the_seed_and_need_a_recipe(tiny_recipe: Recipe):
    training_run = run(recipe=tiny_recipe, seed=6)
    expected = tiny_recipe.build(seed=derive(6, "weights"))
    assert (
        weights_sha256(training_run.fresh_model())
        == weights_sha256(training_run.fresh_model())
        == weights_sha256(expected)
    )
    with pytest.raises(MethodError, match=r"^expected a recipe, got none; "):
        run().fresh_model()


def test_every_batch_takes_one_step_of_optimiser_and_schedule_and_the_mean_loss_is_returned():
    model = linear([1.0])
    training_run = run()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = training_run.schedule("linear", optimizer, steps=4)
    data = rows([1.0], [1.0], [1.0], [1.0])
    mean = training_run.fit(model, training_run.batches(data, 1, 0), output, optimizer, scheduler=scheduler)
    # Rates 1, ¾, ½, ¼ move the weight through 1, 0, −¾, −5⁄4 to −3⁄2.
    assert model.weight.item() == -1.5
    assert mean == (1 + 0 - 0.75 - 1.25) / 4
    assert optimizer.param_groups[0]["lr"] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_and_names_its_stage(tmp_path: Path, bad: float):
    model, training_run = linear([1.0]), run(folder=tmp_path, save_every=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.125)
    done: list[int] = []

    def train() -> None:
        for epoch in training_run.epochs("forgetting", 5, model=model):
            loss = output if epoch < 2 else lambda model, batch: bad * output(model, batch)
            training_run.fit(model, training_run.batches(rows([1.0], [1.0]), 1, epoch), loss, optimizer)
            done.append(epoch)

    with pytest.raises(
        TrainingError, match=r"^expected a finite loss, got .* in epoch 3 of forgetting .*0\.125.*; lower"
    ):
        train()
    assert done == [0, 1]
    restored = linear([1.0])
    assert next(iter(run(folder=tmp_path).epochs("forgetting", 5, model=restored))) == 2
    assert restored.weight.item() == 0.5  # after two good epochs of two steps each


@pytest.mark.parametrize("training", [True, False])
def test_statistics_and_dropout_are_frozen_outside_training(images: Samples, training: bool):
    model, training_run = Noisy(), run()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = {key: value.clone() for key, value in model.named_buffers()}
    weight = model.conv.weight.detach().clone()
    active: list[bool] = []

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        active.extend(module.training for module in model.modules())
        return F.cross_entropy(model(batch.x), batch.y)

    training_run.fit(model, training_run.batches(images, 8, 0), loss, optimizer, training=training)
    assert set(active) == {training}
    changed = [not torch.equal(value, before[key]) for key, value in model.named_buffers()]
    assert len(changed) == 3
    assert all(change is training for change in changed)
    assert not torch.equal(model.conv.weight, weight)


@pytest.mark.usefixtures("report_every_batch")
def test_progress_rises_to_the_end(images: Samples):
    seen: list[tuple[str, float, float]] = []
    trained(SGD, images, progress=lambda *report: seen.append(report))
    # Four batches an epoch, then its end.
    assert [done for _, done, _ in seen] == [epoch + part / 4 for epoch in range(4) for part in (1, 2, 3, 4, 4)]
    assert {(stage, total) for stage, _, total in seen} == {("train", 4)}


def test_augmentation_of_an_unknown_recipe_is_none(images: Samples):
    assert run().augmented(images) is images
    augmented = run(recipe=SGD).augmented(images).everything()
    assert augmented.ids.tolist() == images.ids.tolist()
    assert not torch.equal(augmented.x, images.everything().x)


def test_a_model_without_trainable_weights_has_no_optimiser():
    with pytest.raises(MethodError, match=r"expected a model with trainable weights, got Linear with none; let those"):
        run().optimizer(nn.Linear(2, 1).requires_grad_(False), optimizers.SGD(learning_rate=0.1))


def test_samples_are_looked_at_in_order_and_in_no_larger_batches_than_asked_for(tiny: Samples):
    run = Run(Classification(classes=3), evaluation_batch=25)
    for size, lengths in ((None, [25, 25, 10]), (40, [25, 25, 10]), (20, [20, 20, 20])):
        batches = list(run.in_order(tiny, size))
        assert [len(batch) for batch in batches] == lengths
        assert [name for batch in batches for name in batch.ids.tolist()] == tiny.ids.tolist()
