import importlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from obliviate._util.files import sha256_of
from obliviate.data.samples import Samples
from obliviate.errors import AuditError, RecipeError, TrainingError, WorkspaceError
from obliviate.models.mlp import MLP
from obliviate.references import completion, jobs
from obliviate.references.plan import leave_half_out
from obliviate.references.pool import ReferencePool, fingerprint, identity, load_pool, pools_in, train_pool
from obliviate.references.records import read_record
from obliviate.task import Classification, Task
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe

Make = Callable[..., ReferencePool]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> tuple[Path, ReferencePool]:
    """Four references, trained by two processes."""
    folder = tmp_path_factory.mktemp("pool")
    return folder, train_pool(tiny_recipe, tiny, three_classes, folder=folder, models=4, seed=1, workers=1)


@pytest.fixture
def folder(trained: tuple[Path, ReferencePool], tmp_path: Path) -> Path:
    """A copy of the trained references."""
    return Path(shutil.copytree(trained[0], tmp_path / "pool"))


@pytest.fixture
def make(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Make:
    def make(folder: Path, **options: Any) -> ReferencePool:
        settings: dict[str, Any] = {"models": 4, "seed": 1, "workers": 0} | options
        return train_pool(settings.pop("recipe", tiny_recipe), tiny, three_classes, folder=folder, **settings)

    return make


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def member(folder: Path, number: int) -> Path:
    return next(folder.glob(f"*/member-{number:03d}.logits.safetensors"))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "make", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("trained again"))


# ------------------------------------------------------------------------------------------- what a pool is


def test_pool_holds_the_outputs_of_every_member_and_who_trained_on_what(
    trained: tuple[Path, ReferencePool], tiny: Samples, tiny_recipe: Recipe
) -> None:
    _, pool = trained
    assert len(pool) == 4
    assert pool.logits.shape == (4, 60, 3)
    assert pool.logits[0].dtype == np.float32
    np.testing.assert_array_equal(pool.included, leave_half_out(4, 60, seed=1))
    assert pool.ids.tolist() == tiny.ids.tolist()
    assert pool.seconds > 0
    assert len({float(logits[0, 0]) for logits in pool.logits}) == 4


def test_finished_pool_leaves_weights_outputs_and_what_they_are_of(trained: tuple[Path, ReferencePool]) -> None:
    folder, pool = trained
    wanted = {f"member-{number:03d}{kind}.safetensors" for number in range(4) for kind in ("", ".logits")}
    wanted |= {f"member-{number:03d}.json" for number in range(4)} | {"pool.json"}
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
    right = np.stack(list(pool.logits)).argmax(2) == noise.everything().y.numpy()
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
        "member-002.json",
    }


def test_growing_the_pool_keeps_the_first_members(
    folder: Path, trained: tuple[Path, ReferencePool], make: Make
) -> None:
    before = files(folder)
    grown = make(folder, models=8)
    after = files(folder)
    assert len(after) == 8 * 3 + 1
    assert {name: after[name] for name in before} == before
    np.testing.assert_array_equal(grown.logits[:4], trained[1].logits)
    np.testing.assert_array_equal(grown.included[:4], trained[1].included)
    assert grown.fingerprint == trained[1].fingerprint
    np.testing.assert_array_equal(make(folder, models=6).logits, grown.logits[:6])


def test_sixteen_references_grow_to_sixty_four_and_none_is_trained_twice(
    make: Make, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    recipe = replace(tiny_recipe, epochs=1)
    before: dict[str, tuple[str, int]] = {}
    for models in (16, 32, 64):
        pool = make(tmp_path / "grown", models=models, recipe=recipe)
        now = {path.name: (sha256_of(path), path.stat().st_mtime_ns) for path in pool.folder.iterdir()}
        assert len(now) == 3 * models + 1
        assert {name: now[name] for name in before} == before
        before = now
    assert pool.logits.shape == (64, 60, 3)
    np.testing.assert_array_equal(pool.included.sum(axis=0), 32)
    at_once = make(tmp_path / "at once", models=20, recipe=recipe)
    np.testing.assert_array_equal(at_once.logits, pool.logits[:20])


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
    assert {name: time for name, time in files(tmp_path).items() if name in before} == before


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
    assert all(process.returncode is not None for process in started)
    assert not [name for name in files(tmp_path) if "job" in name or "lock" in name]


def test_progress_counts_members(make: Make, tmp_path: Path) -> None:
    reports: list[tuple[str, float, float]] = []
    make(tmp_path, progress=lambda *report: reports.append(report))
    assert reports == [("references", done, 4) for done in range(5)]


@pytest.mark.parametrize("change", ["recipe", "options", "seed", "samples", "task", "loss"])
def test_a_pool_of_something_else_is_another_pool(
    change: str, tiny: Samples, tiny_recipe: Recipe, three_classes: Classification
) -> None:
    def name(recipe: Recipe = tiny_recipe, samples: Samples = tiny, task: Task = three_classes, seed: int = 1) -> str:
        return fingerprint(identity(recipe, samples, task, seed=seed))

    assert name(replace(tiny_recipe), task=replace(three_classes)) == name()
    options = dict(reversed(list(tiny_recipe.model_options.items())))
    assert list(options) != list(tiny_recipe.model_options)
    assert name(replace(tiny_recipe, model_options=options)) == name()
    other = {
        "recipe": lambda: name(replace(tiny_recipe, epochs=4)),
        "options": lambda: name(replace(tiny_recipe, model_options={**options, "hidden": (9,)})),
        "seed": lambda: name(seed=2),
        "samples": lambda: name(samples=tiny.without(["s00"])),
        "task": lambda: name(task=Classification(classes=3, input_range=None)),
        "loss": lambda: name(task=Weighted(classes=3)),
    }
    assert other[change]() != name()


@dataclass(frozen=True)
class Weighted(Classification):
    """The loss of class 1 counts fifty times."""

    def per_sample(self, output: Tensor, y: Tensor) -> Tensor:
        return super().per_sample(output, y) * torch.tensor([1.0, 50.0, 1.0])[y]


@pytest.fixture
def write_net(write_module: Callable[..., Path]) -> Callable[..., Recipe]:
    """Write a module of the user's, and return a recipe that names what it makes."""

    def write(**edit: Any) -> Recipe:
        write_module("edited_net", **edit)
        return Recipe(model=importlib.import_module("edited_net").make, epochs=1, batch_size=16, precision="float32")

    return write


@pytest.mark.parametrize("edit", [{"width": 9}, {"activation": "tanh"}], ids=["width", "forward"])
def test_edited_code_trains_new_references_beside_the_old_ones(
    edit: dict[str, Any], write_net: Callable[..., Recipe], make: Make, tiny: Samples, tmp_path: Path
) -> None:
    old = make(tmp_path / "pool", recipe=write_net())
    before = files(tmp_path / "pool")
    recipe = write_net(**edit)
    with pytest.warns(UserWarning, match=rf"new references .* in {old.folder} differ in the architecture as built$"):
        new = make(tmp_path / "pool", recipe=recipe)
    assert new.fingerprint != old.fingerprint
    assert not np.array_equal(new.logits, old.logits)
    assert before.items() <= files(tmp_path / "pool").items()
    assert make(tmp_path / "pool", recipe=write_net()).fingerprint == old.fingerprint  # restored, it is found again


def test_edited_code_does_not_open_the_references_of_the_old_one(
    write_net: Callable[..., Recipe], make: Make, tiny: Samples, three_classes: Classification, tmp_path: Path
) -> None:
    make(tmp_path / "pool", recipe=write_net())
    recipe = write_net(activation="tanh")
    with pytest.raises(AuditError, match=r"expected references .*, got \w+: the architecture as built; train them"):
        load_pool(recipe, tiny, three_classes, folder=tmp_path / "pool", seed=1)


def test_code_that_is_edited_while_it_is_in_use_trains_no_references_under_the_old_name(
    write_net: Callable[..., Recipe], make: Make, tmp_path: Path
) -> None:
    """As in a notebook that has imported it before: its worker processes import what is there now."""
    recipe = write_net()
    path = tmp_path / "edited_net.py"
    path.write_text(path.read_text("utf-8").replace(".relu()", ".tanh()"), "utf-8")
    refusal = r"expected the code of edited_net:make .* got other code; it was edited since"
    with pytest.raises(TrainingError, match=refusal):
        make(tmp_path / "pool", recipe=recipe, workers=1)
    assert not [name for name in files(tmp_path / "pool") if "member" in name]


def test_two_lambdas_have_references_of_their_own(make: Make, tmp_path: Path, tiny_recipe: Recipe) -> None:
    plain, deep = (
        replace(tiny_recipe, model=lambda: nn.Linear(6, 3), model_options={}),
        replace(
            tiny_recipe, model=lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), model_options={}
        ),
    )
    assert plain.to_dict() == deep.to_dict()
    first = make(tmp_path, recipe=plain)
    with pytest.warns(UserWarning, match="the architecture as built"):
        second = make(tmp_path, recipe=deep)
    assert first.folder != second.folder


def renamed(**options: Any) -> nn.Module:
    return MLP(**options)


@pytest.mark.usefixtures("no_training")
def test_a_function_of_another_name_that_builds_the_same_finds_its_references(
    folder: Path, trained: tuple[Path, ReferencePool], make: Make, tiny_recipe: Recipe
) -> None:
    recipe = replace(tiny_recipe, model=renamed)
    assert recipe.model_name != tiny_recipe.model_name
    assert make(folder, recipe=recipe).fingerprint == trained[1].fingerprint


def test_another_loss_trains_new_references_and_says_so(
    folder: Path, trained: tuple[Path, ReferencePool], tiny: Samples, tiny_recipe: Recipe
) -> None:
    task = Weighted(classes=3)
    differs = r"the task's class obliviate.task.classification:Classification, not .*:Weighted"
    with pytest.raises(AuditError, match=rf"expected references .*, got \w+: {differs}; train them first"):
        load_pool(tiny_recipe, tiny, task, folder=folder, seed=1)
    with pytest.warns(UserWarning, match=differs):
        pool = train_pool(tiny_recipe, tiny, task, folder=folder, models=4, seed=1, workers=0)
    assert pool.fingerprint != trained[1].fingerprint
    assert not np.array_equal(pool.logits, trained[1].logits)


def test_an_edited_loss_of_the_same_name_is_told_as_such(
    make: Make, tmp_path: Path, tiny: Samples, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Weighted(classes=3)
    train_pool(tiny_recipe, tiny, task, folder=tmp_path, models=4, workers=0)
    monkeypatch.setattr(Weighted, "per_sample", lambda self, output, y: 2 * Classification.per_sample(self, output, y))
    with pytest.raises(AuditError, match=r"got \w+: the task's loss; train them first"):
        load_pool(tiny_recipe, tiny, task, folder=tmp_path)


def test_members_say_what_their_last_bits_depend_on(trained: tuple[Path, ReferencePool]) -> None:
    record = read_record(trained[1].folder, "member", 0, trained[1].fingerprint)
    assert (record.threads, record.torch) == (1, str(torch.__version__))


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


def test_a_failing_worker_is_reported_with_its_message_and_nothing_of_it_is_left_when_it_is_mended(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unlucky.py").write_text(
        "import sys\nfrom torch import nn\n\ndef build():\n"
        "    if sys.argv[0].endswith('worker.py'):\n        raise ZeroDivisionError('no such luck')\n"
        "    return nn.Linear(6, 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(model="unlucky:build", epochs=1)
    with pytest.raises(
        TrainingError, match=r"expected all references to be made, got .*no such luck.*whole message is in"
    ) as info:
        make(tmp_path / "pool", recipe=recipe, workers=1)
    log = Path(str(info.value).rsplit(" ", 1)[1])
    assert "Traceback" in log.read_text(encoding="utf-8")
    assert {Path(name).name for name in files(tmp_path / "pool")} == {log.name, "pool.json"}  # no copy of the samples
    make(tmp_path / "pool", recipe=recipe, workers=0)
    kinds = {Path(name).name.partition("-")[0] for name in files(tmp_path / "pool")}
    assert kinds == {"member", "pool.json"}


def test_samples_that_a_killed_process_left_are_removed(
    folder: Path, trained: tuple[Path, ReferencePool], make: Make
) -> None:
    left = folder / trained[1].fingerprint / "job.pickle"
    left.write_bytes(b"samples")
    make(folder)
    assert not left.exists()


def test_a_pool_is_opened_without_training(
    folder: Path,
    tiny: Samples,
    tiny_recipe: Recipe,
    three_classes: Classification,
    trained: tuple[Path, ReferencePool],
) -> None:
    before = files(folder)
    pool = load_pool(tiny_recipe, tiny, three_classes, folder=folder, seed=1)
    assert (len(pool), pool.fingerprint, pool.seconds) == (4, trained[1].fingerprint, trained[1].seconds)
    np.testing.assert_array_equal(pool.logits, trained[1].logits)
    np.testing.assert_array_equal(pool.included, trained[1].included)
    assert files(folder) == before


def test_a_pool_that_is_not_there_is_refused_with_what_is(
    folder: Path, tiny: Samples, tiny_recipe: Recipe, three_classes: Classification
) -> None:
    before = files(folder)
    for recipe, samples, seed, difference in (
        (replace(tiny_recipe, epochs=4), tiny, 1, "epochs 3, not 4; train"),
        (tiny_recipe, tiny.without(["s00"]), 1, r"other samples \(60, not 59\); train"),
        (tiny_recipe, tiny, 2, "seed 1, not 2; train"),
    ):
        with pytest.raises(AuditError, match=rf"expected references \w+ in .*, got \w+: {difference}"):
            load_pool(recipe, samples, three_classes, folder=folder, seed=seed)
    with pytest.raises(AuditError, match=r"expected 6 references in .*, got 4; train more"):
        load_pool(tiny_recipe, tiny, three_classes, folder=folder, models=6, seed=1)
    with pytest.raises(AuditError, match=r"expected references .*, got none; train them first"):
        load_pool(tiny_recipe, tiny, three_classes, folder=folder / "elsewhere", seed=1)
    assert files(folder) == before


def test_a_folder_tells_which_pools_are_in_it(folder: Path, make: Make, tiny: Samples, tiny_recipe: Recipe) -> None:
    make(folder, recipe=replace(tiny_recipe, epochs=1), keep_weights=False)
    by_epochs = {pool.recipe["epochs"]: pool for pool in pools_in(folder)}
    assert {epochs: (pool.members, pool.weights, pool.samples, pool.seed) for epochs, pool in by_epochs.items()} == {
        3: (4, 4, 60, 1),
        1: (4, 0, 60, 1),
    }
    assert by_epochs[1].bytes == sum(path.stat().st_size for path in by_epochs[1].folder.iterdir())
    assert by_epochs[3].bytes > by_epochs[1].bytes
    for text in ("{", "[]", '{"format": "other/1"}', '{"format": "obliviate.references/2"}'):
        (by_epochs[1].folder / "pool.json").write_text(text)
        with pytest.raises(AuditError, match=r"expected .* in .*pool.json.*: delete the file, and train references"):
            pools_in(folder)


def test_weights_are_dropped_on_demand_and_only_they(folder: Path, make: Make) -> None:
    pool = make(folder)
    pool_weights = pool.weights
    assert [path.name for path in pool_weights] == [f"member-{number:03d}.safetensors" for number in range(4)]
    before = files(folder)
    again = make(folder, keep_weights=False)
    gone = set(before) - set(files(folder))
    assert {Path(name).name for name in gone} == {path.name for path in pool_weights}
    np.testing.assert_array_equal(again.logits, pool.logits)
    with pytest.raises(AuditError, match=r"expected the weights of every reference, got none for 4 of 4 .*dropped"):
        _ = again.weights


@pytest.mark.usefixtures("no_training")
def test_a_foreign_file_is_refused(folder: Path, make: Make) -> None:
    foreign = next(folder.iterdir()) / "thesis.tex"
    foreign.touch()
    with pytest.raises(
        AuditError, match=r"expected a folder with references and nothing else, got thesis.tex in .*; move"
    ):
        make(folder, models=6)
    foreign.unlink()
    make(folder)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("origin", "difference"), [("other pool", r"that of 1 of \w+ in"), ("other member", r"that of 2 of ")]
)
def test_the_outputs_of_another_reference_are_refused(
    origin: str, difference: str, folder: Path, tmp_path: Path, make: Make
) -> None:
    strange = tmp_path / "strange"
    make(strange, **({"seed": 2} if origin == "other pool" else {}))
    number = 1 if origin == "other pool" else 2
    shutil.copy(member(strange, number), member(folder, 1))
    with pytest.raises(AuditError, match=r"expected sha256 \w+…, got \w+… in .*: delete the file"):
        list(make(folder).logits)
    record = next(strange.glob(f"*/member-{number:03d}.json"))
    shutil.copy(record, next(folder.glob("*/member-001.json")))
    with pytest.raises(
        AuditError, match=rf"expected what is known of model 1 of \w+, got {difference}.*; delete the file"
    ):
        make(folder)


@pytest.mark.parametrize("count", [1, 5])
def test_a_population_that_is_too_small_is_refused(
    count: int, tiny: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    few = tiny.select(tiny.ids[:count])
    with pytest.raises(AuditError, match=f"expected at least 6 samples to train references over, got {count}; "):
        train_pool(tiny_recipe, few, three_classes, folder=tmp_path / "pool", models=4)
    assert not list(tmp_path.iterdir())


def test_a_reference_with_outputs_that_are_not_finite_is_not_kept(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "observed", lambda model, samples, task: torch.full((len(samples), 3), torch.nan))
    with pytest.raises(TrainingError, match="expected finite outputs, got NaN or Inf from member 0; lower"):
        make(tmp_path)
    assert not [name for name in files(tmp_path) if "logits" in name]


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


def test_an_edited_description_of_a_pool_is_refused_and_may_be_deleted(folder: Path, make: Make) -> None:
    path = next(folder.glob("*/pool.json"))
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace('"epochs": 3', '"epochs": 4'), encoding="utf-8")
    with pytest.raises(AuditError, match=r"expected contents with sha256 .*pool.json.*: delete the file"):
        make(folder)
    path.unlink()
    make(folder)
    assert path.read_text(encoding="utf-8") == content


def test_a_member_without_its_hashes_is_trained_again(
    folder: Path, trained: tuple[Path, ReferencePool], make: Make
) -> None:
    record = next(folder.glob("*/member-001.json"))
    save_file({"logits": torch.zeros(60, 3)}, member(folder, 1))
    record.unlink()
    np.testing.assert_array_equal(make(folder).logits, trained[1].logits)


@pytest.mark.parametrize("damage", ["", "{", "[" * 100_000, '{"format": "obliviate.made/1"}', "folder"])
@pytest.mark.usefixtures("no_training")
def test_damaged_hashes_of_a_member_are_named_and_nothing_is_trained(damage: str, folder: Path, make: Make) -> None:
    record = next(folder.glob("*/member-001.json"))
    record.unlink()
    if damage == "folder":
        record.mkdir()
    else:
        record.write_text(damage)
    with pytest.raises(AuditError, match=r"expected .* in .*member-001.json.*: delete the file to train it again"):
        make(folder)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_member_whose_saved_state_is_damaged_starts_over_and_it_is_said(
    workers: int,
    make: Make,
    tmp_path: Path,
    trained: tuple[Path, ReferencePool],
    interrupt: Callable[..., list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    (state,) = tmp_path.rglob("member-000/train.pt")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    np.testing.assert_array_equal(make(tmp_path, workers=workers).logits, trained[1].logits)
    (message,) = [record.getMessage() for record in caplog.records if record.name == "obliviate"]
    assert "member-000/train.pt was damaged; that stage starts over" in message
