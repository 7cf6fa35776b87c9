"""What every method is held to. A new method needs no line here: the registry is the list."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from obliviate import methods, testing, workflow
from obliviate._util import plugins
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.errors import DataError, MethodError, TrainingError
from obliviate.experiment import Experiment
from obliviate.methods import base
from obliviate.methods.relative import OF_RECIPE, kinds
from obliviate.task import Classification
from obliviate.testing.bench import halved
from obliviate.testing.interruptions import MOMENTS, resumes
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale
from versions import TESTED

METHODS = [cls() for cls in methods.registry().values()]
ORIGINALS = {"sisa": "sharded", "never_seen": "taught", "trew": "by_class"}  # the bench, where it is not a plain one
RECIPE = Recipe(model_options={"size": 14}, epochs=4, batch_size=32)  # of images at half their size
SCALE = Scale.of(Recipe())
DOCS = Path(__file__).parents[2] / "docs" / "methods"

UNSTEADY = {"sfron"}

SHORT = {"never_seen": {"least_steps": 60}}  # of 500, which say no more where it is not asked how good the model is
IN_SHORT = [dataclasses.replace(method, **SHORT.get(method.name, {})) for method in METHODS]

each_method = pytest.mark.parametrize("method", METHODS, ids=lambda one: one.name)
each_in_short = pytest.mark.parametrize("method", IN_SHORT, ids=lambda one: one.name)


@dataclass(frozen=True)
class Benches:
    """Originals that were trained on the same number of samples in the ways that methods ask for."""

    task: Classification
    recipe: Recipe
    population: Samples
    size: int
    every: int  # so many-th sample is to be forgotten
    holdout: Samples
    test: Samples
    folder: Path

    @cached_property
    def plain(self) -> testing.Bench:
        train = self.population.select(self.population.ids[: self.size])
        return self._trained(train, forget=train.ids[4 : self.size : self.every])

    @cached_property
    def sharded(self) -> testing.Bench:
        """With an original in shards that all hold a forget sample."""
        recipe, checkpoints = dataclasses.replace(self.recipe, shards=2, slices=3), self.folder / "original"
        sharded = workflow.train(Experiment(self.task, recipe, self.plain.train), checkpoints=checkpoints)
        return dataclasses.replace(self.plain, original=sharded.model, recipe=recipe, checkpoints=checkpoints)

    @cached_property
    def taught(self) -> testing.Bench:
        """With teachers."""
        return self.plain.with_teachers(self.folder / "teachers")

    @cached_property
    def by_class(self) -> testing.Bench:
        """With samples in such an order that every request of a check, which goes by place, is of whole classes."""
        y, ids = self.population.everything().y, self.population.ids
        sizes = (15, 5, 10, 15, 5, 60, *[-(-(self.size - 110) // 4)] * 4)
        places = torch.cat([(y == label).nonzero().flatten()[:size] for label, size in enumerate(sizes)])
        train = self.population.select(ids[places.numpy()])
        return self._trained(train, forget=train.ids[50:110])

    def _trained(self, train: Samples, forget: np.ndarray) -> testing.Bench:
        original = workflow.train(Experiment(self.task, self.recipe, train)).model
        split = Split.of(train, forget=forget, holdout=self.holdout)
        return testing.Bench(original, self.task, self.recipe, train, split, self.test)

    def of(self, method: Any) -> testing.Bench:
        """The bench that a method is tried on."""
        return getattr(self, ORIGINALS.get(method.name, "plain"))


@pytest.fixture(scope="module")
def images(data: Data) -> Data:
    """The shipped images at half their size."""
    assert data.holdout is not None
    return dataclasses.replace(data, train=halved(data.train), holdout=halved(data.holdout), test=halved(data.test))


@pytest.fixture(scope="module")
def small(task: Classification, images: Data, tmp_path_factory: pytest.TempPathFactory) -> Benches:
    """As few samples as the checks allow, for what does not depend on how well the original was trained."""
    assert images.holdout is not None
    holdout = images.holdout.select(images.holdout.ids[:100])
    return Benches(task, RECIPE, images.train, 300, 4, holdout, images.test, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def useful(task: Classification, images: Data, tmp_path_factory: pytest.TempPathFactory) -> Benches:
    """An original that has learnt enough to lose it."""
    assert images.holdout is not None
    longer, folder = dataclasses.replace(RECIPE, epochs=6), tmp_path_factory.mktemp("useful")
    return Benches(task, longer, images.train, 600, 10, images.holdout, images.test, folder)


@pytest.fixture(scope="module")
def split(small: Benches) -> Split:
    return small.plain.split


@pytest.fixture(scope="module")
def plain(small: Benches) -> testing.Bench:
    return small.plain


@pytest.fixture
def bench(method: Any, small: Benches) -> testing.Bench:
    return small.of(method)


# ------------------------------------------------------------------------------------------- what it computes


OF_USEFUL_MODELS = (testing.does_not_collapse_under_its_defaults, testing.changes_the_weights_of_its_copy_alone)
CHECKS = [
    check for check in testing.CHECKS if check not in (testing.killed_and_resumed_is_bit_equal, *OF_USEFUL_MODELS)
]


@each_in_short
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_keeps_the_contract(method: Any, check: testing.Check, bench: testing.Bench, tmp_path: Path) -> None:
    check(method, bench, tmp_path)


@each_method
@pytest.mark.parametrize("check", OF_USEFUL_MODELS, ids=lambda check: check.__name__)
def test_leaves_a_useful_model(method: Any, check: testing.Check, useful: Benches, tmp_path: Path) -> None:
    if method.name in UNSTEADY and not TESTED:
        pytest.skip("it ruins some small models at its defaults, and which ones goes by the version of torch")
    check(method, useful.of(method), tmp_path)


@each_in_short
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_is_bit_equal_to_uninterrupted(
    method: Any, moment: str, bench: testing.Bench, tmp_path: Path
) -> None:
    if not resumes(method, bench, tmp_path, moment):
        pytest.skip("it takes no step of training that could be interrupted")


@each_method
def test_the_outcome_is_a_copy_in_evaluation_mode_with_its_role(method: Any, useful: Benches) -> None:
    bench = useful.of(method)
    original, unlearned = bench.original, bench.outcome(method).trained
    assert all(
        before.data_ptr() != after.data_ptr()
        for before, after in zip(original.parameters(), unlearned.model.parameters(), strict=True)
    )
    assert not unlearned.model.training
    assert unlearned.role == ("retrained" if method.name == "retrain" else "unlearned")


@pytest.mark.parametrize(
    "method", [methods.find(name)(labels="agnostic") for name in ("laf", "mixunlearn")], ids=lambda one: one.name
)
def test_without_labels_none_is_needed_and_none_is_used(method: Any, plain: testing.Bench, tmp_path: Path) -> None:
    assert method.needs == {"retain"}
    assert type(method)().needs == {"retain", "labels"}
    testing.uses_no_label_unless_it_needs_labels(method, plain, tmp_path)


@pytest.mark.parametrize("method", [one for one in METHODS if one.name in {"retrain", "fine_tune"}])
def test_reads_nothing_of_the_forget_set(method: Any, bench: testing.Bench) -> None:
    train, read = testing.recorded(bench.train)
    forget = train.ids[:60]
    bench.forget(method, Split.of(train, forget=forget))
    assert not read() & set(forget.tolist())


# ------------------------------------------------------------------------------------------- what it refuses


@each_method
def test_a_learning_rate_that_is_far_too_high_stops_with_an_error(method: Any, bench: testing.Bench) -> None:
    if "learning_rate" not in {one.name for one in dataclasses.fields(method)}:
        pytest.skip("has none")
    before = weights_sha256(bench.original)
    with pytest.raises(
        TrainingError, match=r"expected (a finite loss|finite weights|finite outputs), got .*; lower the learning rate"
    ):
        bench.unlearn(dataclasses.replace(method, learning_rate=1e30))
    assert weights_sha256(bench.original) == before


# ------------------------------------------------------------------------------------------- what it needs

NEEDS = [(method, need) for method in METHODS for need in sorted(method.needs - {"labels"})]


@pytest.mark.parametrize(("method", "need"), NEEDS, ids=[f"{method.name}-{need}" for method, need in NEEDS])
def test_a_missing_need_is_an_error_before_any_work(
    method: Any,
    need: str,
    bench: testing.Bench,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for work in ("fit", "train", "once", "epochs"):
        monkeypatch.setattr(Run, work, lambda *_, **__: pytest.fail("work has begun"))
    lacking = Split(
        split.forget, None if need == "retain" else split.retain, None if need == "holdout" else split.holdout
    )
    poor = dataclasses.replace(bench, **{need: None}) if need in ("recipe", "teachers") else bench
    with pytest.raises(MethodError, match=rf"expected a (pool of )?{need}( set)? for {method.name}, got none; .+"):
        poor.unlearn(method, lacking, folder=tmp_path)
    assert not list(tmp_path.iterdir())


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
    assert method.needs <= base.REGISTRY.needs


@each_method
def test_describes_itself(method: Any) -> None:
    described = base.describe(type(method))
    assert set(described) == {"name", "summary", "source", "needs", "exact", "tasks", "defaults", "when_none"}
    assert described["name"] == method.name
    assert described["summary"].endswith(".")
    assert described["source"]
    assert set(described["needs"]) == method.needs
    assert set(described["defaults"]) == {one.name for one in dataclasses.fields(method)}


@each_method
def test_is_made_again_from_what_a_manifest_holds(method: Any, split: Split) -> None:
    settled = base.settle(method, split, SCALE)
    for one in (method, settled):
        described = json.loads(json.dumps(base.to_dict(one)))
        assert repr(methods.from_dict(described)) == repr(one)
    with pytest.raises(MethodError, match=f"expected the hyperparameters of {method.name}, got .*older"):
        methods.from_dict({"name": method.name, "settings": {"older": 1}})


def test_a_method_that_holds_samples_is_not_written_down(few: Samples) -> None:
    assert base.to_dict(methods.find("amun")(examples=few)) is None


@each_method
def test_says_what_becomes_of_settings_that_are_none(method: Any, split: Split) -> None:
    described = base.describe(type(method))["when_none"]
    tokens = Samples.from_tensors(torch.ones(40, 3).long(), torch.arange(40) % 10, ids=[f"{i}" for i in range(40)])
    splits = {
        "always": split,
        "with retain": split,
        "without retain": split.without_retain(),
        "on texts": (texts := Split.of(tokens, forget=["3", "5"])),
        "on texts without retain": texts.without_retain(),
    }
    unset = {name for name, value in vars(method).items() if value is None}
    of_recipe = any(kind in OF_RECIPE for name, kind in kinds(type(method)).items() if name in unset)
    assert bool(described) == (hasattr(method, "settled") or of_recipe)
    always = set(described.get("always", {}))
    for case, values in described.items():
        assert set(values) <= unset
        settled = vars(base.settle(method, splits[case], SCALE))
        if case != "always" or set(described) == {"always"}:
            assert {name for name in unset if settled[name] is not None} <= set(values) | always
        for name, value in values.items():
            assert isinstance(value, str) or settled[name] == value


@each_method
def test_has_a_page_that_lists_the_differences_from_the_paper(method: Any) -> None:
    page = (DOCS / f"{method.name}.md").read_text(encoding="utf-8")
    assert method.exact or "Differences from the paper" in page


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

    monkeypatch.setattr(plugins, "entry_points", entry_points)


def test_a_method_of_another_package_is_found_and_runs(
    monkeypatch: pytest.MonkeyPatch, plain: testing.Bench, split: Split, task: Classification
) -> None:
    install(monkeypatch, Shrink)
    assert list(methods.registry()) == [*(cls.name for cls in methods.BUILT_IN), "shrink"]
    made = workflow.unlearn(
        workflow.TrainedModel.given(plain.original, task), split, methods.find("shrink")(factor=0.25)
    )
    np.testing.assert_allclose(
        made.model.get_parameter("conv1.bias").detach().numpy(), plain.original.get_parameter("conv1.bias").detach() / 4
    )
    assert made.method == "Shrink(factor=0.25)"


def test_a_method_that_changes_nothing_is_refused(plain: testing.Bench, split: Split, task: Classification) -> None:
    with pytest.raises(MethodError, match="expected shrink to change the model, got the same weights"):
        workflow.unlearn(workflow.TrainedModel.given(plain.original, task), split, Shrink(factor=1.0))


def test_weights_that_are_not_finite_are_refused(plain: testing.Bench, split: Split, task: Classification) -> None:
    with pytest.raises(TrainingError, match=r"expected finite weights, got NaN or Inf after Shrink\("):
        workflow.unlearn(workflow.TrainedModel.given(plain.original, task), split, Shrink(factor=float("nan")))


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
        workflow.unlearn(
            workflow.TrainedModel.given(original, Classification(classes=5), recipe=recipe), split, METHODS[0]
        )
