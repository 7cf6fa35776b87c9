import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.errors import MethodError, TrainingError
from obliviate.task import Classification
from obliviate.training import run as engine
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.update import Update
from obliviate.types import Batch


class Killed(BaseException):
    """Like KeyboardInterrupt: nobody catches it."""


class Noisy(nn.Module):
    """Everything that makes resumption hard: dropout, and buffers that change in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.dropout(F.relu(self.norm(self.conv(x)))).flatten(1))


@pytest.fixture(scope="module")
def images() -> Samples:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(30) % 3
    return Samples.from_tensors(torch.rand(30, 1, 6, 6, generator=generator) + 0.3 * y[:, None, None, None], y)


def noisy(**changed: Any) -> Recipe:
    options: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "augmentation": "crop_flip"}
    return Recipe(model=Noisy, precision="float32", **(options | changed))


SGD, ADAM = noisy(), noisy(optimizer="adam", learning_rate=0.01)


def trained(recipe: Recipe, samples: Samples, *, seed: int = 0, **options: Any) -> str:
    return weights_sha256(run(seed=seed, recipe=recipe, **options).train(samples))


def kill_at(report: int) -> Callable[[str, float, float], None]:
    """Progress that raises at the nth report; with no pause between reports there is one after every batch."""
    reports = itertools.count()

    def progress(stage: str, done: float, total: float) -> None:
        if next(reports) == report:
            raise Killed

    return progress


@pytest.fixture
def report_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TICK", 0.0)


def run(**options: Any) -> Run:
    return Run(Classification(classes=3), precision="float32", **options)


# Determinism


@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
def test_weights_are_a_function_of_the_seed(images: Samples, recipe: Recipe):
    torch.manual_seed(1)
    first = trained(recipe, images, seed=3)
    torch.manual_seed(2)
    np.random.default_rng(2)
    assert trained(recipe, images, seed=3) == first
    assert trained(recipe, images, seed=4) != first


def test_training_learns(tiny: Samples, tiny_recipe: Recipe, three_classes: Classification):
    training_run = run(recipe=replace(tiny_recipe, epochs=20))
    before = training_run.fresh_model()
    model = training_run.train(tiny)
    batch = tiny.everything()
    assert not model.training
    assert three_classes.loss(model, batch).item() < 0.5 * three_classes.loss(before, batch).item()


def test_training_is_what_the_recipe_says(tiny: Samples):
    """The engine equals a loop written out by hand."""
    options = {"features": 6, "classes": 3, "hidden": (8,)}
    recipe = Recipe(model="mlp", model_options=options, epochs=3, batch_size=16, precision="float32", schedule="cosine")
    training_run = run(recipe=recipe, seed=5)
    model, steps = training_run.fresh_model(), 3 * 4
    velocity = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    taken = 0
    for epoch in range(3):
        for batch in training_run.batches(tiny, 16, epoch):
            model.zero_grad()
            F.cross_entropy(model(batch.x), batch.y).backward()
            rate = 0.1 * 0.5 * (1 + math.cos(math.pi * taken / steps))
            with torch.no_grad():
                for name, value in model.named_parameters():
                    assert value.grad is not None
                    velocity[name] = 0.9 * velocity[name] + value.grad + 5e-4 * value
                    value.sub_(rate * velocity[name])
            taken += 1
    for weight, expected in zip(training_run.train(tiny).parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(weight, expected)


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


# Resumption


@pytest.mark.usefixtures("report_every_batch")
@pytest.mark.parametrize("recipe", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("report", [1, 6, 9, 12, 17])
def test_a_killed_training_resumes_to_the_same_weights(images: Samples, tmp_path: Path, recipe: Recipe, report: int):
    """Four batches and an end make five reports an epoch: the kills are in epochs 0, 1, at the end of 1, in 2, in 3."""
    whole = trained(recipe, images, seed=2)
    with pytest.raises(Killed):
        trained(recipe, images, seed=2, folder=tmp_path, save_every=0, progress=kill_at(report))
    torch.manual_seed(report)
    seen: list[float] = []
    resumed = trained(
        recipe, images, seed=2, folder=tmp_path, save_every=0, progress=lambda stage, done, total: seen.append(done)
    )
    assert resumed == whole
    done = (report + 1) // 5  # the state of an epoch is saved before its end is reported
    assert seen[0] == done + 0.25
    assert seen[-1] == 4


@pytest.mark.usefixtures("report_every_batch")
def test_a_training_that_is_killed_in_every_epoch_ends_the_same(images: Samples, tmp_path: Path):
    for _ in range(4):
        with pytest.raises(Killed):  # at the end of the first epoch that is left
            trained(SGD, images, folder=tmp_path, save_every=0, progress=kill_at(4))
    assert trained(SGD, images, folder=tmp_path, save_every=0) == trained(SGD, images)


@pytest.mark.usefixtures("report_every_batch")
def test_the_last_saved_epoch_counts_when_saves_are_rare(
    images: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(Killed):
        trained(SGD, images, folder=tmp_path, save_every=10, progress=kill_at(17))
    first: list[float] = []
    resumed = trained(SGD, images, folder=tmp_path, progress=lambda stage, done, total: first.append(done))
    assert first[0] == 2.25  # the clock strikes about six times an epoch, so only every second epoch was saved
    assert resumed == trained(SGD, images)


def test_nothing_is_saved_without_a_folder_or_before_its_time(images: Samples, tmp_path: Path):
    trained(SGD, images, folder=tmp_path, save_every=1e9)
    assert list(tmp_path.iterdir()) == []


def two_sided(images: Samples, folder: Path | None, *, stop: int | None = None) -> tuple[str, dict[str, Any]]:
    """A method with paired batches, a moving average and a counter: state of every kind."""
    training_run = run(seed=4, recipe=SGD, folder=folder, save_every=0)
    forget, retain = images.select(images.ids[:5]), images.select(images.ids[5:])
    model = training_run.fresh_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    memory: dict[str, Any] = {"steps": 0, "average": torch.zeros(3), "seen": []}

    def loss(model: nn.Module, f: Batch, r: Batch) -> Tensor:
        if memory["steps"] == stop:
            raise Killed
        memory["steps"] += 1
        memory["seen"].extend(r.ids.tolist())
        memory["average"] = 0.9 * memory["average"] + 0.1 * model(r.x).detach().mean(0)
        return training_run.task.loss(model, r) - 0.1 * training_run.task.loss(model, f)

    for epoch in training_run.epochs("two", 6, model=model, optimizer=optimizer, memory=memory):
        training_run.fit(model, training_run.paired(training_run.augmented(forget), retain, 2, epoch), loss, optimizer)
    return weights_sha256(model), memory


def test_paired_training_and_dictionaries_resume(images: Samples, tmp_path: Path):
    weights, memory = two_sided(images, None)
    assert memory["steps"] == 18
    # 13 batches are one pass over the 25 retained samples; it goes on over epochs of three steps.
    assert sorted(memory["seen"][:25]) == sorted(images.ids[5:])
    with pytest.raises(Killed):
        two_sided(images, tmp_path, stop=8)
    resumed, restored = two_sided(images, tmp_path)
    assert resumed == weights
    assert restored["steps"] == 18
    assert restored["seen"] == memory["seen"]
    assert torch.equal(restored["average"], memory["average"])


def test_time_before_an_interruption_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now.value))
    first = run(folder=tmp_path, save_every=0)
    now.value += 3
    first.once("examples", lambda: {"x": torch.zeros(2)})
    for _ in first.epochs("stage", 1):
        now.value += 4
    assert first.seconds == 7
    now.value += 1000
    second = run(folder=tmp_path, save_every=0)
    now.value += 2
    second.once("examples", lambda: {"x": torch.zeros(2)})
    assert second.seconds == 5
    assert list(second.epochs("stage", 1)) == []
    assert second.seconds == 9


def test_what_is_untimed_is_left_out(monkeypatch: pytest.MonkeyPatch):
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now.value))
    training_run = run()
    now.value += 3
    with training_run.untimed(), training_run.untimed():  # nested ones count once
        now.value += 50
    now.value += 1
    assert training_run.seconds == 4


# Artefacts


def test_an_artefact_is_made_once_and_read_back(tmp_path: Path):
    artefact = {"x": torch.rand(3, 2).T, "mask": torch.tensor([True, False]), "y": torch.tensor(7)}
    calls: list[int] = []

    def make() -> dict[str, Tensor]:
        calls.append(1)
        return artefact

    for training_run in (run(folder=tmp_path), run(folder=tmp_path)):
        for _ in range(2):
            read = training_run.once("examples", make)
            assert read.keys() == artefact.keys()
            assert all(torch.equal(read[key], artefact[key]) for key in artefact)
            assert all(read[key].dtype == artefact[key].dtype for key in artefact)
    assert len(calls) == 1
    run(folder=tmp_path).once("other", make)
    assert len(calls) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["examples.safetensors", "other.safetensors"]


def test_an_artefact_without_a_folder_is_made_each_time_and_a_failing_one_leaves_nothing(tmp_path: Path):
    calls: list[int] = []
    for _ in range(2):
        run().once("x", lambda: calls.append(1) or {"x": torch.zeros(1)})
    assert len(calls) == 2

    def fail() -> dict[str, Tensor]:
        raise Killed

    with pytest.raises(Killed):
        run(folder=tmp_path).once("x", fail)
    assert list(tmp_path.iterdir()) == []


# One pass


def linear(weights: list[float]) -> nn.Linear:
    model = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]))
    return model


def output(model: nn.Module, batch: Batch) -> Tensor:
    """A loss whose gradient is the sum of the inputs."""
    return model(batch.x).sum()


def rows(*values: list[float]) -> Samples:
    return Samples.from_tensors(
        torch.tensor(values), torch.zeros(len(values)).long(), ids=list("abcdef"[: len(values)])
    )


@pytest.mark.parametrize("clip_norm", [None, 1.0, 5.0, 100.0])
def test_clipping_bounds_the_norm_of_the_gradient(clip_norm: float | None):
    model = linear([1.0, 2.0])
    training_run = run()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    mean = training_run.fit(
        model, training_run.batches(rows([6.0, 8.0]), 1, 0), output, optimizer, update=Update(clip_norm=clip_norm)
    )
    step = torch.tensor([1.0, 2.0]) - model.weight.detach()[0]
    expected = min(10.0, clip_norm or 10.0)
    torch.testing.assert_close(step, torch.tensor([0.6, 0.8]) * expected)
    assert mean == 22.0


def test_clipping_sees_only_the_weights_that_may_change():
    model = linear([0.0, 0.0])
    training_run = run()
    mask = {"weight": torch.tensor([[True, False]])}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    training_run.fit(
        model,
        training_run.batches(rows([3.0, 400.0]), 1, 0),
        output,
        optimizer,
        update=Update(clip_norm=5.0, mask=mask),
    )
    assert model.weight.tolist() == [[-3.0, 0.0]]


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


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, weight_decay=0.1),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_outside_the_mask_weights_stay_bit_identical(tiny: Samples, three_classes: Classification, name: str):
    model, training_run = two_layers(), run()
    optimizer = OPTIMIZERS[name](model.parameters())
    training_run.fit(
        model, training_run.batches(tiny, 16, 0), three_classes.loss, optimizer
    )  # momentum for every weight
    generator = torch.Generator().manual_seed(3)
    mask = {key: torch.rand(value.shape, generator=generator) < 0.5 for key, value in model.named_parameters()}
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    for epoch in (1, 2):
        training_run.fit(
            model, training_run.batches(tiny, 16, epoch), three_classes.loss, optimizer, update=Update(mask=mask)
        )
    for key, value in model.named_parameters():
        assert torch.equal(value[~mask[key]], before[key][~mask[key]])
        assert (value[mask[key]] != before[key][mask[key]]).all()


def test_inside_the_mask_weights_move_as_if_the_others_were_constants(tiny: Samples, three_classes: Classification):
    masked, reference, training_run = two_layers(), two_layers(), run()
    mask = {key: torch.full(value.shape, key == "2.weight") for key, value in masked.named_parameters()}
    training_run.fit(
        masked,
        training_run.batches(tiny, 16, 0),
        three_classes.loss,
        OPTIMIZERS["sgd"](masked.parameters()),
        update=Update(mask=mask),
    )
    optimizer = OPTIMIZERS["sgd"]([reference.get_parameter("2.weight")])
    training_run.fit(reference, training_run.batches(tiny, 16, 0), three_classes.loss, optimizer)
    assert torch.equal(masked.get_parameter("2.weight"), reference.get_parameter("2.weight"))


def test_a_full_mask_changes_nothing(tiny: Samples, three_classes: Classification):
    models = two_layers(), two_layers()
    for model, masked in zip(models, (True, False), strict=True):
        mask = {key: torch.ones_like(value, dtype=torch.bool) for key, value in model.named_parameters()}
        training_run = run()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        training_run.fit(
            model,
            training_run.batches(tiny, 16, 0),
            three_classes.loss,
            optimizer,
            update=Update(mask=mask if masked else None),
        )
    assert weights_sha256(models[0]) == weights_sha256(models[1])


def test_parameters_without_gradients_need_no_mask(tiny: Samples, three_classes: Classification):
    model, training_run = two_layers(), run()
    model[0].requires_grad_(False)
    before = model.get_parameter("0.weight").clone()
    mask = {key: torch.ones_like(value, dtype=torch.bool) for key, value in model[2].named_parameters(prefix="2")}
    training_run.fit(
        model,
        training_run.batches(tiny, 16, 0),
        three_classes.loss,
        OPTIMIZERS["sgd"](model.parameters()),
        update=Update(mask=mask),
    )
    assert torch.equal(model.get_parameter("0.weight"), before)


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


def test_samples_are_copied_to_the_device_once_for_all_epochs_and_give_the_same_batches(images: Samples):
    before, here = run(recipe=noisy()), run(recipe=noisy())
    source = here.augmented(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("obliviate.data.stores._same", lambda *_: False)  # a move is from the processor to itself
        stores = {id(here.batches(source, 32, epoch).samples.store) for epoch in range(3)}
        paired = here.paired(source, source, 32, 0)
        stores |= {id(paired.forget.store), id(paired.retain.store)}
    assert len(stores) == 1
    assert stores != {id(source.store)}
    torch.manual_seed(0)
    wanted = [batch.x for batch in before.batches(before.augmented(images), 32, 1)]
    torch.manual_seed(0)
    batches = list(here.batches(source, 32, 1))
    assert all(torch.equal(x, batch.x) for x, batch in zip(wanted, batches, strict=True))


def test_augmentation_of_an_unknown_recipe_is_none(images: Samples):
    assert run().augmented(images) is images
    augmented = run(recipe=SGD).augmented(images).everything()
    assert augmented.ids.tolist() == images.ids.tolist()
    assert not torch.equal(augmented.x, images.everything().x)


def test_a_folder_that_is_not_there_is_made_when_something_is_kept(tmp_path: Path) -> None:
    run = Run(Classification(classes=2), folder=tmp_path / "new" / "run", save_every=0.0)
    assert not (tmp_path / "new").exists()
    run.once("artefact", lambda: {"x": torch.zeros(1)})
    assert list(run.epochs("work", 2, model=nn.Linear(1, 1))) == [0, 1]
    assert {path.name for path in (tmp_path / "new" / "run").iterdir()} == {"artefact.safetensors", "work.pt"}


# ------------------------------------------------------------------------------------------- damaged states


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "more").touch()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "bit flipped": flipped,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "without a hash": lambda path: path.write_bytes(path.read_bytes()[:-32]),
    "folder": replaced_by_a_folder,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_stage_whose_state_is_damaged_starts_over_to_the_same_weights_and_it_is_said(
    name: str, tmp_path: Path, images: Samples, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    whole = trained(SGD, images)
    fit, begun = Run.fit, [0]

    def counting(self: Run, *arguments: Any, **options: Any) -> float:
        begun[0] += 1
        if begun[0] == 3:
            raise KeyboardInterrupt
        return fit(self, *arguments, **options)

    monkeypatch.setattr(Run, "fit", counting)
    with pytest.raises(KeyboardInterrupt):
        trained(SGD, images, folder=tmp_path, save_every=0)
    DAMAGE[name](tmp_path / "train.pt")
    assert trained(SGD, images, folder=tmp_path, save_every=0) == whole
    assert begun == [3 + SGD.epochs]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("obliviate", "WARNING")
    assert f"the saved state {tmp_path / 'train.pt'} was damaged; that stage starts over" in record.getMessage()


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_artefact_is_made_again_and_it_is_said(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    calls: list[int] = []

    def make() -> dict[str, Tensor]:
        calls.append(1)
        return {"x": torch.arange(40.0)}

    for _ in range(2):
        run(folder=tmp_path).once("artefact", make)
    assert (len(calls), caplog.records) == (1, [])
    DAMAGE[name](tmp_path / "artefact.safetensors")
    for _ in range(2):
        assert run(folder=tmp_path).once("artefact", make)["x"].equal(torch.arange(40.0))
    assert len(calls) == 2
    (record,) = caplog.records
    assert "artefact.safetensors was damaged; that stage starts over" in record.getMessage()
