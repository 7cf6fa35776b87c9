"""What every method is held to. A new method needs no line here: the registry is the list."""

import copy
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from obliviate import methods, workflow
from obliviate.data.samples import Samples, Store
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import DataError, MethodError
from obliviate.methods import base
from obliviate.task import Classification
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Progress, Run, silent

METHODS = [cls() for cls in methods.registry().values()]
ORIGINALS = {"sisa": "sharded"}  # the fixture of the model to unlearn, where it is not a plain one
NEVER_READ_FORGET = {"retrain", "fine_tune"}
DOCS = Path(__file__).parents[2] / "docs" / "methods"

each_method = pytest.mark.parametrize("method", METHODS, ids=lambda one: one.name)


class Killed(Exception):
    """Stands for a power cut."""


@pytest.fixture
def split(few: Samples, data: Data) -> Split:
    return Split.of(few, forget=few.ids[7:600:10], reference=data.reference)


@dataclass
class Bench:
    """Runs a method the way `workflow.unlearn` does, but saves after every epoch.

    `checkpoints` are those that the original's training left; every run gets them without what other runs have added.
    """

    original: nn.Module
    task: Classification
    recipe: Recipe | None
    checkpoints: Path | None
    scratch: Path

    def own_checkpoints(self, folder: Path | None) -> Path | None:
        if self.checkpoints is None:
            return None
        own = self.scratch / (uuid4().hex if folder is None else folder.name)
        if not own.exists():
            shutil.copytree(self.checkpoints, own)
        return own

    def forget(
        self, method: Any, split: Split, *, folder: Path | None = None, progress: Progress = silent, seed: int = 0
    ) -> nn.Module:
        run = Run(
            self.task,
            seed=seed,
            recipe=self.recipe,
            folder=folder,
            checkpoints=self.own_checkpoints(folder),
            progress=progress,
            save_every=0.0,
        )
        return method(run.precision.prepare(copy.deepcopy(self.original)), split, run)

    def unlearn(self, method: Any, split: Split, **options: Any) -> workflow.Trained:
        given = {"recipe": self.recipe, "checkpoints": self.own_checkpoints(None)} | options
        return workflow.unlearn(self.original, split, method, self.task, **given)


@dataclass
class Trained:
    """An original model, how it was trained, and where its slice checkpoints are if it has any."""

    model: nn.Module
    recipe: Recipe
    checkpoints: Path | None = None


@pytest.fixture(scope="module")
def plain(original: nn.Module, recipe: Recipe) -> Trained:
    return Trained(original, recipe)


@pytest.fixture(scope="module")
def sharded(few: Samples, task: Classification, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """In shards that all hold a forget sample of `split`."""
    recipe = dataclasses.replace(recipe, shards=2, slices=3)
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    return Trained(workflow.train(recipe, few, task, checkpoints=checkpoints).model, recipe, checkpoints)


@pytest.fixture
def bench(
    method: Any, task: Classification, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    trained: Trained = request.getfixturevalue(ORIGINALS.get(method.name, "plain"))
    return Bench(trained.model, task, trained.recipe, trained.checkpoints, tmp_path_factory.mktemp("bench"))


class Power:
    """Counts the batches that `Run.fit` takes, and fails before the one numbered `last`."""

    def __init__(self) -> None:
        self.taken = 0
        self.last: int | None = None

    def limited(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            if self.taken == self.last:
                raise Killed
            self.taken += 1
            yield batch


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Power:
    made, fit = Power(), Run.fit

    def counted(self: Run, model: nn.Module, batches: Iterable[Any], *rest: Any, **options: Any) -> float:
        return fit(self, model, made.limited(batches), *rest, **options)

    monkeypatch.setattr(Run, "fit", counted)
    return made


class RecordingStore:
    """A store that remembers which rows were read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.read: set[int] = set()

    def __len__(self) -> int:
        return len(self.store)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        self.read |= set(rows.tolist())
        return self.store.take(rows)


def recorded(samples: Samples) -> tuple[Samples, Callable[[], set[str]]]:
    store = RecordingStore(samples.store)
    by_row = {int(row): str(name) for row, name in zip(samples.rows, samples.ids, strict=True)}
    return Samples(store, samples.ids, samples.rows), lambda: {by_row[row] for row in store.read}


# ------------------------------------------------------------------------------------------- what it computes


@each_method
def test_same_seed_gives_the_same_weights_whatever_the_global_random_state(
    method: Any, bench: Bench, split: Split
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights_sha256(bench.forget(method, split))
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    assert weights_sha256(bench.forget(method, split)) == first
    assert weights_sha256(bench.forget(method, split, seed=1)) != first


@each_method
def test_weights_change_and_the_model_that_was_passed_in_does_not(method: Any, bench: Bench, split: Split) -> None:
    original = bench.original
    before = copy.deepcopy(original.state_dict())
    made = bench.unlearn(method, split)
    for name, value in original.state_dict().items():
        assert value.equal(before[name])
    changed = sum(not value.cpu().equal(before[name].cpu()) for name, value in made.model.state_dict().items())
    assert changed == len(before)
    assert all(
        one.data_ptr() != two.data_ptr()
        for one, two in zip(original.parameters(), made.model.parameters(), strict=True)
    )
    assert not made.model.training
    assert made.role == ("retrained" if method.name == "retrain" else "unlearned")


@each_method
def test_does_not_collapse_under_its_defaults(
    method: Any, bench: Bench, split: Split, task: Classification, data: Data
) -> None:
    y = data.test.everything().y

    def accuracy(model: nn.Module) -> float:
        return 100 * float(task.correct(outputs(model, data.test), y).float().mean())

    assert accuracy(bench.unlearn(method, split).model) > accuracy(bench.original) - 15


# ------------------------------------------------------------------------------------------- interruptions


@each_method
@pytest.mark.parametrize("moment", ["the first batch", "a third", "nine tenths", "the last batch"])
def test_killed_and_resumed_is_bit_equal_to_uninterrupted(
    method: Any, moment: str, bench: Bench, split: Split, power: Power, tmp_path: Path
) -> None:
    whole = weights_sha256(bench.forget(method, split))
    total, power.taken = power.taken, 0
    if not total:
        pytest.skip("it takes no step of training that could be interrupted; see the next test")
    power.last = {"the first batch": 0, "a third": total // 3, "nine tenths": 9 * total // 10}.get(moment, total - 1)
    with pytest.raises(Killed):
        bench.forget(method, split, folder=tmp_path)
    power.taken, power.last = 0, None
    assert weights_sha256(bench.forget(method, split, folder=tmp_path)) == whole
    if moment in {"nine tenths", "the last batch"} and getattr(method, "epochs", None) != 1:
        assert power.taken < total  # epochs that were done are not done again


@each_method
def test_killed_between_epochs_again_and_again_is_bit_equal_to_uninterrupted(
    method: Any, bench: Bench, split: Split, tmp_path: Path
) -> None:
    whole = weights_sha256(bench.forget(method, split))
    calls = 0

    def dying(stage: str, done: float, total: float) -> None:
        nonlocal calls
        calls += 1
        raise Killed

    while True:
        before = calls
        try:
            made = bench.forget(method, split, folder=tmp_path, progress=dying if calls < 3 else silent)
        except Killed:
            assert calls == before + 1
        else:
            break
    assert weights_sha256(made) == whole


@each_method
def test_a_finished_run_is_not_done_again(
    method: Any, bench: Bench, split: Split, power: Power, tmp_path: Path
) -> None:
    first = weights_sha256(bench.forget(method, split, folder=tmp_path))
    power.taken, power.last = 0, 0
    assert weights_sha256(bench.forget(method, split, folder=tmp_path)) == first


# ------------------------------------------------------------------------------------------- what it reads


@each_method
def test_reads_only_the_samples_that_it_may_see(method: Any, bench: Bench, few: Samples, data: Data) -> None:
    train, read = recorded(few)
    outside, forget = few.ids[:50].tolist(), few.ids[50:110].tolist()
    split = Split.of(train.without(outside), forget=forget, reference=data.reference)
    assert not read()
    if "retain" in method.needs:
        bench.forget(method, split)
        assert set(split.kept.ids.tolist()) <= read()
    else:
        bench.forget(method, split.without_retain())
        assert read() == set(forget)
        bench.forget(method, split)
    assert not read() & set(outside)
    if method.name in NEVER_READ_FORGET or method.exact:
        assert not read() & set(forget)


@each_method
def test_works_on_a_dataset_that_is_not_held_in_memory(method: Any, bench: Bench, few: Samples, data: Data) -> None:
    batch = few.everything()
    dataset = TensorDataset(batch.x[:200], batch.y[:200])
    lazy = Samples.from_dataset(dataset, ids=few.ids[:200], in_memory=False)
    held = few.select(few.ids[:200])
    splits = [Split.of(one, forget=few.ids[:20], reference=data.reference) for one in (lazy, held)]
    made = [weights_sha256(bench.forget(method, split)) for split in splits]
    assert made[0] == made[1]


# ------------------------------------------------------------------------------------------- what it needs

NEEDS = [(method, need) for method in METHODS for need in sorted(method.needs - {"labels"})]


@pytest.mark.parametrize(("method", "need"), NEEDS, ids=[f"{method.name}-{need}" for method, need in NEEDS])
def test_a_missing_need_is_an_error_before_any_work(
    method: Any,
    need: str,
    bench: Bench,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for work in ("fit", "train", "once", "epochs"):
        monkeypatch.setattr(Run, work, lambda *_, **__: pytest.fail("work has begun"))
    lacking = Split(
        split.forget, None if need == "retain" else split.retain, None if need == "reference" else split.reference
    )
    with pytest.raises(MethodError, match=rf"expected a {need} for {method.name}, got none; .+"):
        bench.unlearn(method, lacking, recipe=None if need == "recipe" else bench.recipe, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@each_method
def test_works_with_no_more_than_it_needs(method: Any, bench: Bench, split: Split) -> None:
    least = Split(
        split.forget,
        split.retain if "retain" in method.needs else None,
        split.reference if "reference" in method.needs else None,
    )
    if "recipe" not in method.needs:
        bench.recipe = None
    assert weights_sha256(bench.forget(method, least)) != weights_sha256(bench.original)


# ------------------------------------------------------------------------------------------- how it presents itself


@each_method
def test_is_a_frozen_dataclass_with_keyword_only_fields(method: Any) -> None:
    fields = dataclasses.fields(method)
    assert isinstance(method, base.Method)
    assert all(one.kw_only for one in fields)
    for one in fields:
        assert f"{one.name}=" in repr(method)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, one.name, getattr(method, one.name))
    assert method == type(method)()
    assert method.needs <= base.NEEDS


@each_method
def test_describes_itself(method: Any) -> None:
    described = base.describe(type(method))
    assert set(described) == {"name", "summary", "source", "needs", "exact", "defaults"}
    assert described["name"] == method.name
    assert described["summary"].endswith(".")
    assert described["source"]
    assert set(described["needs"]) == method.needs
    assert set(described["defaults"]) == {one.name for one in dataclasses.fields(method)}


@each_method
def test_has_a_page_that_lists_the_differences_from_the_paper(method: Any) -> None:
    page = (DOCS / f"{method.name}.md").read_text(encoding="utf-8")
    assert method.exact or "Differences from the paper" in page


@each_method
@pytest.mark.parametrize("name", ["epochs", "learning_rate", "batch_size", "clip_norm"])
def test_refuses_hyperparameters_out_of_range(method: Any, name: str) -> None:
    if name not in {one.name for one in dataclasses.fields(method)}:
        pytest.skip("has none of this name")
    with pytest.raises(MethodError, match=rf"expected {name} above 0, got 0; .+{method.name}"):
        type(method)(**{name: 0})


# ------------------------------------------------------------------------------------------- the registry


@dataclass(frozen=True, kw_only=True)
class Shrink:
    """Multiply every weight."""

    name: ClassVar[str] = "shrink"
    needs: ClassVar[frozenset[str]] = frozenset()
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "none"

    factor: float = 0.5

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for one in model.parameters():
                one.mul_(self.factor)
        return model


class Point:
    """Stands for an installed package's entry point."""

    def __init__(self, cls: type[Any]) -> None:
        self.name, self.cls = cls.__name__, cls

    def load(self) -> type[Any]:
        return self.cls


def install(monkeypatch: pytest.MonkeyPatch, cls: type[Any]) -> None:
    def entry_points(*, group: str) -> list[Point]:
        assert group == "obliviate.methods"
        return [Point(cls)]

    monkeypatch.setattr(base, "entry_points", entry_points)


def test_a_method_of_another_package_is_found_and_runs(
    monkeypatch: pytest.MonkeyPatch, original: nn.Module, split: Split, task: Classification
) -> None:
    install(monkeypatch, Shrink)
    assert list(methods.registry()) == [*(cls.name for cls in methods.BUILT_IN), "shrink"]
    made = workflow.unlearn(original, split, methods.find("shrink")(factor=0.25), task)
    np.testing.assert_allclose(
        made.model.get_parameter("conv1.bias").detach().numpy(), original.get_parameter("conv1.bias").detach() / 4
    )
    assert made.method == "Shrink(factor=0.25)"


def test_a_method_that_changes_nothing_is_refused(original: nn.Module, split: Split, task: Classification) -> None:
    with pytest.raises(MethodError, match="expected shrink to change the model, got the same weights"):
        workflow.unlearn(original, split, Shrink(factor=1.0), task)


def test_weights_that_are_not_finite_are_refused(original: nn.Module, split: Split, task: Classification) -> None:
    with pytest.raises(workflow.TrainingError, match=r"expected finite weights, got NaN or Inf after Shrink\("):
        workflow.unlearn(original, split, Shrink(factor=float("nan")), task)


def test_an_unknown_method_is_refused_with_the_known_names() -> None:
    with pytest.raises(MethodError, match=r"expected a method of retrain, .*amun.*, got 'amnesia'; see"):
        methods.find("amnesia")


@dataclass
class Open:
    """Not frozen, and without a source."""

    name = "open"
    needs = frozenset()
    exact = False


@dataclass(frozen=True, kw_only=True)
class Greedy(Shrink):
    """Needs what nobody gives."""

    name: ClassVar[str] = "greedy"
    needs: ClassVar[frozenset[str]] = frozenset({"test"})


@dataclass(frozen=True, kw_only=True)
class Impostor(Shrink):
    """Has the name of a built-in method."""

    name: ClassVar[str] = "amun"


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Open, "expected a method with a class attribute `source` and a frozen dataclass, got Open without"),
        (Greedy, r"expected needs of .*'retain'.*, got \['test'\] in Greedy"),
        (Impostor, "expected a new method name, got 'amun' twice; rename Impostor"),
    ],
)
def test_a_class_that_breaks_the_contract_is_refused(
    cls: type[Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, cls)
    with pytest.raises(MethodError, match=message):
        methods.registry()


def test_labels_that_are_not_of_the_task_are_refused_before_any_work(
    original: nn.Module, few: Samples, recipe: Recipe
) -> None:
    split = Split.of(few, forget=few.ids[:5])
    with pytest.raises(DataError, match="expected labels in 0 … 4, got"):
        workflow.unlearn(original, split, METHODS[0], Classification(classes=5), recipe=recipe)
