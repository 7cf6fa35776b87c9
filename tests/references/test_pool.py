import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from obliviate.data.samples import Samples
from obliviate.errors import AuditError, RecipeError, TrainingError, WorkspaceError
from obliviate.references import pool as pools
from obliviate.references.plan import leave_half_out
from obliviate.references.pool import ReferencePool, fingerprint, train_pool
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe

Make = Callable[..., ReferencePool]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> tuple[Path, ReferencePool]:
    """Four references, trained by two processes."""
    folder = tmp_path_factory.mktemp("pool")
    return folder, train_pool(tiny_recipe, tiny, three_classes, folder=folder, models=4, seed=1, workers=2)


@pytest.fixture
def folder(trained: tuple[Path, ReferencePool], tmp_path: Path) -> Path:
    """A copy of the trained references."""
    return Path(shutil.copytree(trained[0], tmp_path / "pool"))


@pytest.fixture
def make(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Make:
    def make(folder: Path, **options: Any) -> ReferencePool:
        given: dict[str, Any] = {"models": 4, "seed": 1, "workers": 0} | options
        return train_pool(given.pop("recipe", tiny_recipe), tiny, three_classes, folder=folder, **given)

    return make


def files(folder: Path) -> dict[str, int]:
    return {str(one.relative_to(folder)): one.stat().st_mtime_ns for one in folder.rglob("*") if one.is_file()}


def member(folder: Path, number: int) -> Path:
    return next(folder.glob(f"*/member-{number:03d}.logits.safetensors"))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "train_member", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(pools, "_train_in_processes", lambda *_: pytest.fail("trained again"))


# ------------------------------------------------------------------------------------------- what a pool is


def test_pool_holds_the_outputs_of_every_member_and_who_trained_on_what(
    trained: tuple[Path, ReferencePool], tiny: Samples, tiny_recipe: Recipe
) -> None:
    _, pool = trained
    assert len(pool) == 4
    assert pool.logits.shape == (4, 60, 3)
    assert pool.logits.dtype == np.float32
    np.testing.assert_array_equal(pool.included, leave_half_out(4, 60, seed=1))
    assert pool.ids.tolist() == tiny.ids.tolist()
    assert pool.seconds > 0
    assert len(np.unique(pool.logits[:, 0, 0])) == 4


def test_finished_pool_leaves_only_weights_and_outputs(trained: tuple[Path, ReferencePool]) -> None:
    folder, pool = trained
    wanted = {f"member-{one:03d}{kind}.safetensors" for one in range(4) for kind in ("", ".logits")}
    assert set(files(folder)) == {f"{pool.fingerprint}/{name}" for name in wanted}


def test_outputs_are_those_of_the_stored_weights(
    trained: tuple[Path, ReferencePool], tiny: Samples, tiny_recipe: Recipe
) -> None:
    folder, pool = trained
    for number in range(4):
        model = tiny_recipe.build(seed=0)
        model.load_state_dict(load_file(folder / pool.fingerprint / f"member-{number:03d}.safetensors"))
        np.testing.assert_allclose(outputs(model, tiny).numpy(), pool.logits[number], rtol=1e-6)


def test_processes_and_this_process_train_the_same_members(
    trained: tuple[Path, ReferencePool], make: Make, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(make(tmp_path).logits, trained[1].logits)


def test_members_fit_what_they_were_trained_on(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = Samples.from_tensors(
        torch.rand(60, 20, generator=generator), torch.randint(0, 3, (60,), generator=generator)
    )
    recipe = Recipe(
        model="mlp",
        model_options={"features": 20, "classes": 3, "hidden": (64,)},
        epochs=60,
        batch_size=10,
        precision="float32",
    )
    pool = train_pool(recipe, noise, Classification(classes=3), folder=tmp_path, models=4, workers=0)
    right = pool.logits.argmax(2) == noise.everything().y.numpy()
    assert right[pool.included].mean() > 0.95
    assert right[~pool.included].mean() < 0.55


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.usefixtures("no_training")
def test_finished_pool_is_loaded(folder: Path, trained: tuple[Path, ReferencePool], make: Make) -> None:
    before = files(folder)
    again = make(folder)
    np.testing.assert_array_equal(again.logits, trained[1].logits)
    assert again.seconds == trained[1].seconds
    assert files(folder) == before


def test_only_a_missing_member_is_trained_again(folder: Path, trained: tuple[Path, ReferencePool], make: Make) -> None:
    before = files(folder)
    gone = member(folder, 2)
    gone.unlink()
    np.testing.assert_array_equal(make(folder).logits, trained[1].logits)
    after = files(folder)
    assert set(after) == set(before)
    assert {Path(name).name for name in after if after[name] != before[name]} == {
        "member-002.safetensors",
        "member-002.logits.safetensors",
    }


def test_growing_the_pool_keeps_the_first_members(
    folder: Path, trained: tuple[Path, ReferencePool], make: Make
) -> None:
    before = files(folder)
    grown = make(folder, models=8)
    after = files(folder)
    assert len(after) == 16
    assert {name: after[name] for name in before} == before
    np.testing.assert_array_equal(grown.logits[:4], trained[1].logits)
    np.testing.assert_array_equal(grown.included[:4], trained[1].included)
    assert grown.fingerprint == trained[1].fingerprint
    np.testing.assert_array_equal(make(folder, models=6).logits, grown.logits[:6])


def test_killed_in_the_middle_of_a_member_goes_on_there(
    make: Make, tmp_path: Path, trained: tuple[Path, ReferencePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(stage: str, done: float, total: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, progress=dying)
    before = files(tmp_path)
    assert sum("logits" in name for name in before) == 2
    np.testing.assert_array_equal(make(tmp_path).logits, trained[1].logits)
    assert {name: made for name, made in files(tmp_path).items() if name in before} == before


def test_an_interrupt_ends_the_worker_processes(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[Any]] = []
    popen = subprocess.Popen

    def recording(*arguments: Any, **options: Any) -> Any:
        started.append(popen(*arguments, **options))
        return started[-1]

    def dying(stage: str, done: float, total: float) -> None:
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", recording)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, workers=2, progress=dying)
    assert len(started) == 2
    assert all(one.returncode is not None for one in started)
    assert not [name for name in files(tmp_path) if "population" in name or "job" in name]


def test_progress_counts_members(make: Make, tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    make(tmp_path, progress=lambda *one: told.append(one))
    assert told == [("references", done, 4) for done in range(5)]


@pytest.mark.parametrize("change", ["recipe", "seed", "samples"])
def test_a_pool_of_something_else_is_another_pool(change: str, tiny: Samples, tiny_recipe: Recipe) -> None:
    same = fingerprint(tiny_recipe, tiny, 1)
    assert fingerprint(replace(tiny_recipe), tiny, 1) == same
    other = {
        "recipe": fingerprint(replace(tiny_recipe, epochs=4), tiny, 1),
        "seed": fingerprint(tiny_recipe, tiny, 2),
        "samples": fingerprint(tiny_recipe, tiny.without(["s00"]), 1),
    }
    assert other[change] != same


# ------------------------------------------------------------------------------------------- what goes wrong


def test_a_model_that_other_processes_cannot_import_trains_in_this_one(
    make: Make, tmp_path: Path, tiny_recipe: Recipe, trained: tuple[Path, ReferencePool]
) -> None:
    recipe = replace(tiny_recipe, model=lambda **options: tiny_recipe.build(seed=0) and nn.Linear(6, 3))
    with pytest.raises(
        RecipeError, match=r"expected a model that other processes can import, got .*<lambda>; .*workers=0"
    ):
        make(tmp_path, recipe=recipe, workers=2)
    assert not [name for name in files(tmp_path) if "member" in name]
    assert make(tmp_path, recipe=recipe, workers=None).logits.shape == trained[1].logits.shape


def test_a_failing_worker_is_reported_with_its_message(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unlucky.py").write_text("def build():\n    raise ZeroDivisionError('no such luck')\n")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(model="unlucky:build", epochs=1)
    with pytest.raises(
        TrainingError, match=r"expected every reference to train, got .*no such luck.*whole message is in"
    ) as info:
        make(tmp_path / "pool", recipe=recipe, workers=1)
    log = Path(str(info.value).rsplit(" ", 1)[1])
    assert "Traceback" in log.read_text(encoding="utf-8")
    assert [Path(name).name for name in files(tmp_path / "pool")] == [log.name]  # no copy of the samples is left


def test_nothing_of_a_failure_is_left_when_it_is_mended(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mended.py").write_text(
        "from pathlib import Path\nfrom torch import nn\n\ndef build():\n"
        "    assert Path(__file__).with_name('well').exists(), 'not yet'\n    return nn.Linear(6, 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(model="mended:build", epochs=1)
    with pytest.raises(TrainingError, match="not yet"):
        make(tmp_path / "pool", recipe=recipe, workers=2)
    (tmp_path / "well").touch()
    make(tmp_path / "pool", recipe=recipe, workers=0)
    assert all(name.endswith(".safetensors") and "population" not in name for name in files(tmp_path / "pool"))


def test_samples_that_a_killed_process_left_are_removed(
    folder: Path, trained: tuple[Path, ReferencePool], make: Make
) -> None:
    left = folder / trained[1].fingerprint / "population.safetensors"
    left.write_bytes(b"samples")
    make(folder)
    assert not left.exists()


@pytest.mark.parametrize("damage", ["cut short", "other tensors", "other population", "other classes"])
def test_a_damaged_file_is_named_with_a_remedy(damage: str, folder: Path, make: Make) -> None:
    path = member(folder, 1)
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:100])
    else:
        tensors = {
            "other tensors": {"weights": torch.zeros(60, 3)},
            "other population": {"logits": torch.zeros(59, 3)},
            "other classes": {"logits": torch.zeros(60, 4)},
        }[damage]
        save_file(tensors, path, {"seconds": "1"})
    with pytest.raises(AuditError, match=rf"expected .*, got .*{path.name}.*; delete the file to train it again"):
        make(folder)
    path.unlink()
    make(folder)


def test_a_folder_that_cannot_be_written_to_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="expected a folder that can be written to, got"):
        make(tmp_path / "file" / "pool")
