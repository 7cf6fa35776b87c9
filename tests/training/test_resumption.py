import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.task import Classification
from obliviate.training import clock, progress, resumption
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.types import Batch
from small_runs import ADAM, SGD, Killed, kill_at, run, trained


def tell_time(monkeypatch: pytest.MonkeyPatch, monotonic: Callable[[], float]) -> None:
    """Have everything in a run that looks at the time be told this one."""
    for module in (clock, progress, resumption):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))


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
    ticks = itertools.count(0.0, 1.0)
    tell_time(monkeypatch, lambda: next(ticks))
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
    tell_time(monkeypatch, lambda: now.value)
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
