"""Shadows: what every reference forgets, what it keeps, and what is kept of the outcome."""

import copy
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from obliviate import workflow
from obliviate._util.files import read_sealed_json, sha256_of, write_sealed_json
from obliviate._util.seeds import derive
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError, RecipeError
from obliviate.experiment import Experiment
from obliviate.methods.base import Method, settle
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.nabla_tau import NablaTau
from obliviate.methods.retrain import Retrain
from obliviate.methods.sisa import SISA
from obliviate.references import completion
from obliviate.references.executors.protocol import Executor
from obliviate.references.pool import ReferencePool
from obliviate.references.shadows import ShadowPool, hold_out, make_shadows
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.progress import Progress
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.training.scale import Scale

MEMBERS = 4


@dataclass(frozen=True)
class Parts:
    """Thirty training samples, eight of them to forget, twenty unseen ones, and ten that methods may learn from."""

    train: Samples
    unseen: Samples
    holdout: Samples
    split: Split

    @property
    def population(self) -> Samples:
        return self.train.joined(self.unseen)


@pytest.fixture(scope="module")
def parts(tiny: Samples) -> Parts:
    train, unseen, holdout = (tiny.select(tiny.ids[a:b]) for a, b in ((0, 30), (30, 50), (50, 60)))
    return Parts(train, unseen, holdout, Split.of(train, forget=train.ids[[20, 3, 5, 7, 11, 13, 17, 2]]))


@pytest.fixture(scope="module")
def trained(
    parts: Parts, three_classes: Classification, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> ReferencePool:
    folder = tmp_path_factory.mktemp("pool")
    return workflow.train_references(
        Experiment(three_classes, tiny_recipe, parts.train, parts.unseen), folder=folder, models=MEMBERS, workers=0
    )


@pytest.fixture
def pool(trained: ReferencePool, tmp_path: Path) -> ReferencePool:
    """A copy of the references."""
    return replace(trained, folder=Path(shutil.copytree(trained.folder, tmp_path / "pool" / trained.fingerprint)))


Make = Callable[..., ShadowPool]


@pytest.fixture
def make(parts: Parts, three_classes: Classification, tiny_recipe: Recipe) -> Make:
    """Shadows by a method, in this process."""

    def make(pool: ReferencePool, method: Method, **options: Any) -> ShadowPool:
        settings: dict[str, Any] = {"split": parts.split, "recipe": tiny_recipe, "unseen": parts.unseen} | options
        if "executor" not in settings:
            settings = {"workers": 0} | settings
        recipe, unseen, split = (settings.pop(name) for name in ("recipe", "unseen", "split"))
        experiment = Experiment(three_classes, recipe, parts.train, unseen, seed=settings.pop("seed", 0))
        return workflow.train_shadows(experiment, pool, [*settings.pop("earlier", ()), (split, method)], **settings)

    return make


@dataclass(eq=False)
class Recording:
    """Forgets nothing, and writes down what it was asked."""

    asked: list[tuple[set[str], set[str], int]] = field(default_factory=list)
    models: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def __repr__(self) -> str:
        return "Recording()"

    def __call__(
        self, model: nn.Module, forget: Samples, retain: Samples, *, seed: int, folder: Path, progress: Progress
    ) -> tuple[nn.Module, float]:
        assert folder.is_dir()
        assert not model.training
        self.asked.append((set(forget.ids.tolist()), set(retain.ids.tolist()), seed))
        self.models.append(copy.deepcopy(model.state_dict()))
        return model, 2.5


# ------------------------------------------------------------------------------------------- what is forgotten


def test_every_reference_forgets_what_it_has_of_the_request_and_of_as_many_unseen_samples(
    pool: ReferencePool, parts: Parts, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recording = Recording()
    shadows = make_shadows(
        pool,
        tiny_recipe,
        parts.population,
        three_classes,
        [recording],
        forget=parts.split.forget.ids,
        unseen=parts.unseen.ids,
        folder=tmp_path / "shadows",
        seed=3,
        workers=0,
    )[0]
    request = set(parts.split.forget.ids.tolist())
    held_out = set(shadows.ids[~shadows.forget].tolist())
    assert set(shadows.ids[shadows.forget].tolist()) == request
    assert len(held_out) == len(request) == 8
    assert held_out < set(parts.unseen.ids.tolist())
    assert len(shadows) == len(recording.asked) == MEMBERS
    for r, (forget, retain, seed) in enumerate(recording.asked):
        mine = set(parts.population.ids[pool.included[r]].tolist())
        assert forget == mine & (request | held_out)
        assert retain == mine - (request | held_out)
        assert set(shadows.ids[shadows.included[r]].tolist()) == forget
        assert seed == derive(3, "shadow", r)
        weights = load_file(pool.folder / f"member-{r:03d}.safetensors")
        assert all(recording.models[r][name].equal(weights[name]) for name in weights)
    # Nothing was forgotten, so the shadows answer as the references do.
    places = parts.population.places(shadows.ids).numpy()
    np.testing.assert_allclose(
        np.stack(list(shadows.logits)), np.stack(list(pool.logits.rows(places))), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(shadows.included.sum(axis=0), MEMBERS // 2)
    assert shadows.seconds == 2.5 * MEMBERS


def test_retraining_makes_shadows_that_never_saw_the_request(
    pool: ReferencePool, make: Make, parts: Parts, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    shadows = make(pool, Retrain())
    population = parts.population
    for r in range(MEMBERS):
        kept = population.at(pool.included[r] & ~np.isin(population.ids, shadows.ids))
        model = Run(three_classes, seed=derive(0, "shadow", r), recipe=tiny_recipe).train(kept)
        np.testing.assert_array_equal(shadows.logits[r], outputs(model, population.select(shadows.ids)).numpy())


def test_gradient_ascent_raises_the_loss_where_a_shadow_forgot(
    pool: ReferencePool, make: Make, parts: Parts, three_classes: Classification
) -> None:
    shadows = make(pool, GradientAscent(epochs=3, learning_rate=0.05), split=parts.split.without_retain())
    places = parts.population.places(shadows.ids).numpy()
    y = parts.population.select(shadows.ids).everything().y
    for r, (before, after) in enumerate(zip(pool.logits.rows(places), shadows.logits, strict=True)):
        had = torch.from_numpy(shadows.included[r])
        margins = [three_classes.score(torch.from_numpy(logits), y)[had].mean() for logits in (before, after)]
        assert margins[1] < margins[0]


@pytest.mark.parametrize("method", [FineTune(epochs=1), NablaTau(epochs=1)], ids=attrgetter("name"))
def test_methods_get_what_they_need(method: Method, pool: ReferencePool, make: Make, parts: Parts) -> None:
    split = replace(parts.split, holdout=parts.holdout)
    assert make(pool, method, split=split).logits.shape == (MEMBERS, 16, 3)
    if "retain" in method.needs:
        with pytest.raises(MethodError, match=f"expected a retain set for {method.name}, got none"):
            make(pool, method, split=split.without_retain())
    if "holdout" in method.needs:
        with pytest.raises(MethodError, match=f"expected a holdout set for {method.name}, got none"):
            make(pool, method)


def test_shadows_of_a_later_request_go_through_the_earlier_ones_first(
    pool: ReferencePool, make: Make, parts: Parts, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    then = GradientAscent(epochs=1)
    first = Split.of(parts.train, forget=parts.train.ids[:8])
    before = settle(FineTune(epochs=2), first, Scale.of(tiny_recipe))
    second = Split.of(first.kept, forget=first.kept.ids[:8]).without_retain()
    shadows = make(pool, then, split=second, earlier=[(first, before)])
    population, rows = parts.population, pool.included
    asked = [np.isin(population.ids, ids) for ids in (first.forget.ids, shadows.ids)]
    for r in range(MEMBERS):
        seed = derive(0, "shadow", r)
        had = [population.at(rows[r] & asked_rows) for asked_rows in asked]
        rest = population.at(rows[r] & ~asked[0] & ~asked[1])
        assert len(had[0])
        steps = (Split(had[0], had[1].joined(rest)), derive(seed, "earlier request", 1)), (Split(had[1], None), seed)
        model = tiny_recipe.build(seed=0)
        model.load_state_dict(load_file(pool.weights[r]))
        for (split, own), method in zip(steps, (before, then), strict=True):
            model = workflow.unlearn(
                workflow.TrainedModel.given(model, three_classes, recipe=tiny_recipe), split, method, seed=own
            ).model
        np.testing.assert_array_equal(shadows.logits[r], outputs(model, population.select(shadows.ids)).numpy())
    kept = json.loads((shadows.folder / "shadows.json").read_text(encoding="utf-8"))
    assert kept["unlearning"].endswith(
        f", earlier=[PastRequest({before!r}, retain=True, ids={first.forget.ids.tolist()})])"
    )
    assert make(pool, then, split=second).fingerprint != shadows.fingerprint


def test_a_reference_without_samples_of_an_earlier_request_goes_on_to_the_next(
    pool: ReferencePool, make: Make, parts: Parts
) -> None:
    first = Split.of(parts.train, forget=parts.train.ids[:1])
    second = Split.of(first.kept, forget=first.kept.ids[:8])
    served = make(pool, FineTune(epochs=1), split=second, earlier=[(first, GradientAscent(epochs=1))])
    alone = make(pool, FineTune(epochs=1), split=second)
    idle = ~pool.included[:, pool.rows(parts.train.ids[:1])[0]]
    assert [bool((a == b).all()) for a, b in zip(served.logits, alone.logits, strict=True)] == idle.tolist()


# ------------------------------------------------------------------------------------------- what is kept


def times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("shadow*") if path.is_file()
    }


def test_shadows_are_kept_beside_the_pool_and_used_again(pool: ReferencePool, make: Make, parts: Parts) -> None:
    first = make(pool, FineTune(epochs=1))
    before = times(pool.folder)
    assert {Path(name).name for name in before} == {
        "shadows.json",
        *(f"shadow-{number:03d}{ending}" for number in range(MEMBERS) for ending in (".json", ".logits.safetensors")),
    }
    kept = json.loads((first.folder / "shadows.json").read_text(encoding="utf-8"))
    assert kept["unlearning"].startswith("ShadowUnlearning(FineTune(epochs=1, ")
    assert sorted(kept["forget"]) == sorted(parts.split.forget.ids.tolist())
    again = make(pool, FineTune(epochs=1))
    assert (again.fingerprint, again.seconds) == (first.fingerprint, first.seconds)
    assert times(pool.folder) == before
    reordered = Split.of(parts.train, forget=parts.split.forget.ids[::-1])
    assert make(pool, FineTune(epochs=1), split=reordered).fingerprint == first.fingerprint
    assert times(pool.folder) == before


def test_shadows_of_something_else_are_others(pool: ReferencePool, make: Make, parts: Parts) -> None:
    other = Split.of(parts.train, forget=parts.train.ids[10:18])
    names = {
        make(pool, FineTune(epochs=1)).fingerprint,
        make(pool, FineTune(epochs=2)).fingerprint,
        make(pool, FineTune(epochs=1), seed=1).fingerprint,
        make(pool, FineTune(epochs=1), split=other).fingerprint,
        make(pool, FineTune(epochs=1), split=replace(parts.split, holdout=parts.holdout)).fingerprint,
        make(pool, GradientAscent(epochs=1)).fingerprint,
        make(pool, GradientAscent(epochs=1), split=parts.split.without_retain()).fingerprint,
    }
    assert len(names) == 7


def test_a_pool_that_has_grown_needs_new_shadows_for_its_new_members_only(
    pool: ReferencePool, make: Make, parts: Parts, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    first = make(pool, FineTune(epochs=1))
    before = times(pool.folder)
    grown = workflow.train_references(
        Experiment(three_classes, tiny_recipe, parts.train, parts.unseen),
        folder=pool.folder.parent,
        models=6,
        workers=0,
    )
    more = make(grown, FineTune(epochs=1))
    after = times(pool.folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2 * 2
    np.testing.assert_array_equal(np.stack(list(more.logits[:MEMBERS])), np.stack(list(first.logits)))


def test_an_interrupted_making_goes_on_to_the_same_shadows(
    pool: ReferencePool, make: Make, tmp_path: Path, interrupt: Callable[..., list[int]]
) -> None:
    whole = make(pool, FineTune(epochs=3), folder=tmp_path / "whole")
    epochs = interrupt(6)
    with pytest.raises(KeyboardInterrupt):
        make(pool, FineTune(epochs=3), folder=tmp_path / "resumed")
    resumed = make(pool, FineTune(epochs=3), folder=tmp_path / "resumed")
    assert epochs == [3 * MEMBERS + 1]
    np.testing.assert_array_equal(np.stack(list(resumed.logits)), np.stack(list(whole.logits)))
    assert {path.name for path in resumed.folder.iterdir()} == {path.name for path in whole.folder.iterdir()}


def test_an_executor_makes_the_same_shadows(pool: ReferencePool, make: Make, tmp_path: Path, at_once: Executor) -> None:
    here = make(pool, FineTune(epochs=1), folder=tmp_path / "here")
    remote = make(pool, FineTune(epochs=1), folder=tmp_path / "there", executor=at_once)
    np.testing.assert_array_equal(np.stack(list(here.logits)), np.stack(list(remote.logits)))


Several = Callable[..., list[ShadowPool]]


@pytest.fixture
def make_several(parts: Parts, three_classes: Classification, tiny_recipe: Recipe) -> Several:
    """Shadows of this request by several methods."""

    def make_several(pool: ReferencePool, methods: Sequence[Method], **options: Any) -> list[ShadowPool]:
        experiment = Experiment(three_classes, tiny_recipe, parts.train, parts.unseen)
        unlearnings = {
            str(number): workflow.shadow_unlearning(experiment, [(parts.split, method)])
            for number, method in enumerate(methods)
        }
        return list(workflow.train_shadows_by_each(experiment, pool, unlearnings, **options).values())

    return make_several


METHODS = FineTune(epochs=1), GradientAscent(epochs=1), Retrain()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this process", "by an executor"])
def test_shadows_by_several_methods_are_those_by_each_and_read_every_reference_once(
    elsewhere: bool,
    pool: ReferencePool,
    make: Make,
    make_several: Several,
    at_once: Executor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    separate = [make(pool, method, folder=tmp_path / "separate") for method in METHODS]
    reads = counted_reads(monkeypatch)
    makers: dict[str, Any] = {"executor": at_once} if elsewhere else {"workers": 0}
    together = make_several(pool, METHODS, folder=tmp_path / "together", **makers)
    assert dict(reads) == dict.fromkeys(pool.weights, 1)
    for ours, theirs in zip(together, separate, strict=True):
        assert ours.fingerprint == theirs.fingerprint
        np.testing.assert_array_equal(np.stack(list(ours.logits)), np.stack(list(theirs.logits)))
        assert {path.name for path in ours.folder.iterdir()} == {path.name for path in theirs.folder.iterdir()}


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often the weights of each reference are read from now on."""
    reads: Counter[Path] = Counter()

    def counted(path: Path) -> dict[str, torch.Tensor]:
        reads[path] += 1
        return load_file(path)

    monkeypatch.setattr("obliviate.references.member.load_file", counted)
    return reads


def test_shadows_that_are_there_are_not_made_again_beside_those_by_another_method(
    pool: ReferencePool, make: Make, make_several: Several
) -> None:
    make(pool, METHODS[0])
    before = times(pool.folder)
    make_several(pool, METHODS, workers=0)
    after = times(pool.folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(METHODS) * len(before)


def test_an_interrupted_making_by_several_methods_goes_on_with_the_method_that_it_stopped_in(
    pool: ReferencePool, make_several: Several, tmp_path: Path, interrupt: Callable[..., list[int]]
) -> None:
    methods = FineTune(epochs=1), FineTune(epochs=3)
    whole = make_several(pool, methods, folder=tmp_path / "whole", workers=0)
    epochs = interrupt(7)  # the second epoch of the second method, on the second reference
    with pytest.raises(KeyboardInterrupt):
        make_several(pool, methods, folder=tmp_path / "resumed", workers=0)
    resumed = make_several(pool, methods, folder=tmp_path / "resumed", workers=0)
    assert epochs == [4 * MEMBERS + 1]
    for ours, theirs in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(np.stack(list(ours.logits)), np.stack(list(theirs.logits)))


def test_models_of_one_method_as_it_is_set_share_their_shadows(pool: ReferencePool, make_several: Several) -> None:
    first, second = make_several(pool, [FineTune(epochs=1)] * 2, workers=0)
    assert first.folder == second.folder
    assert len(times(pool.folder)) == 1 + 2 * MEMBERS


# ------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("forgotten", [[], [range(8), range(8, 16)]], ids=["none", "two forget sets"])
def test_shadows_of_no_request_or_of_several_are_refused(
    forgotten: list[range], pool: ReferencePool, parts: Parts, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    experiment = Experiment(three_classes, tiny_recipe, parts.train, parts.unseen)
    unlearnings = {
        str(rows): workflow.shadow_unlearning(
            experiment, [(Split.of(parts.train, forget=parts.train.ids[list(rows)]), FineTune())]
        )
        for rows in forgotten
    }
    count = len(forgotten)
    with pytest.raises(AuditError, match=f"expected unlearnings of one forget set, got {count} forget sets of {count}"):
        workflow.train_shadows_by_each(experiment, pool, unlearnings, workers=0)
    assert not (pool.folder / "shadows").exists()


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "make", lambda *_, **__: pytest.fail("work has begun"))


@pytest.mark.usefixtures("no_work")
def test_a_pool_without_weights_is_refused(pool: ReferencePool, make: Make) -> None:
    pool.drop_weights()
    with pytest.raises(AuditError, match=r"expected the weights of every reference, got none for 4 of 4 .*dropped"):
        make(pool, FineTune())
    assert not (pool.folder / "shadows").exists()


@pytest.mark.usefixtures("no_work")
def test_a_request_that_shadows_cannot_answer_is_refused(
    pool: ReferencePool, make: Make, parts: Parts, tiny_recipe: Recipe
) -> None:
    single = Split.of(parts.train, forget=parts.train.ids[:1])
    with pytest.raises(
        AuditError, match=r"expected something to forget in every reference, got none of the 2 samples in"
    ):
        make(pool, FineTune(), split=single, seed=idle_seed(pool, parts))
    many = Split.of(parts.train, forget=parts.train.ids[:21])
    with pytest.raises(
        AuditError, match="expected at least as many unseen samples as there are to forget, got 20 for 21"
    ):
        make(pool, FineTune(), split=many)
    strange = Split.of(parts.train.joined(parts.holdout), forget=["s01", "s55"])
    with pytest.raises(AuditError, match="expected a request for training samples, got 's55' outside the training set"):
        make(pool, FineTune(), split=strange)
    seen = replace(parts.split, holdout=parts.unseen.select(["s31"]))
    with pytest.raises(AuditError, match="expected test samples that no method can see, got 's31'"):
        make(pool, FineTune(), split=seen)
    other = r"expected the model, the recipe, the task and the samples of references \w+, got others \(theirs: "
    with pytest.raises(AuditError, match=rf"{other}epochs 3, not 4\)"):
        make(pool, FineTune(), recipe=replace(tiny_recipe, epochs=4))
    with pytest.raises(AuditError, match=rf"{other}other samples"):
        make(pool, FineTune(), unseen=parts.unseen.without(["s31"]))


@pytest.mark.usefixtures("no_work")
def test_earlier_requests_that_the_model_cannot_have_gone_through_are_refused(
    pool: ReferencePool, make: Make, parts: Parts
) -> None:
    first = Split.of(parts.train, forget=parts.train.ids[:8])
    second = Split.of(first.kept, forget=first.kept.ids[:8])
    strange = Split.of(parts.train.joined(parts.holdout), forget=["s55", "s56"])
    for earlier, problem in (
        ((parts.split, FineTune()), r"each without the samples of earlier ones, got .* again; give the splits"),
        ((strange, FineTune()), r"expected a request for training samples, got 's55', 's56' outside the training set"),
    ):
        with pytest.raises(AuditError, match=problem):
            make(pool, FineTune(), split=second, earlier=[earlier])
    with pytest.raises(AuditError, match="each without the samples of earlier ones"):
        make(pool, FineTune(), split=Split.of(parts.train, forget=parts.train.ids[8:16]), earlier=[(first, FineTune())])
    with pytest.raises(MethodError, match="expected a method that works on any trained model, got sisa"):
        make(pool, FineTune(), split=second, earlier=[(first, SISA())])
    with pytest.raises(MethodError, match="expected a retain set for fine_tune, got none"):
        make(pool, FineTune(), split=second, earlier=[(first.without_retain(), FineTune())])


def idle_seed(pool: ReferencePool, parts: Parts) -> int:
    """A seed whose one unseen sample is in the same references as the first training sample."""
    place = {name: row for row, name in enumerate(pool.ids.tolist())}
    mine = pool.included[:, 0]
    held = [hold_out(parts.unseen.ids, 1, seed=seed)[0] for seed in range(30)]
    return next(seed for seed, unseen in enumerate(held) if (pool.included[:, place[str(unseen)]] == mine).all())


@dataclass(frozen=True, kw_only=True)
class Local:
    """A method that only this process knows."""

    name: ClassVar[str] = "local"
    needs: ClassVar[frozenset[str]] = frozenset()
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "none"
    change: Callable[[torch.Tensor], torch.Tensor] = lambda weight: weight + 1

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(self.change(weight))
        return model


def test_a_method_that_other_processes_cannot_read_works_in_this_one(pool: ReferencePool, make: Make) -> None:
    method = Local(change=lambda weight: weight + 1)
    with pytest.raises(RecipeError, match=r"expected an unlearning that other processes can import, got .*workers=0"):
        make(pool, method, workers=2)
    assert len(make(pool, method, workers=0)) == MEMBERS


def test_damaged_weights_are_named_with_a_remedy(pool: ReferencePool, make: Make) -> None:
    path = pool.weights[1]
    for spoil in (
        lambda: path.write_bytes(path.read_bytes()[:-9]),
        lambda: save_file({"strange": torch.zeros(2)}, path),
    ):
        spoil()
        with pytest.raises(
            AuditError, match=rf"expected sha256 \w+…, got \w+… in .*{path.name}.*: delete it and member-001.json"
        ):
            make(pool, FineTune(epochs=1))


def test_shadows_of_references_with_other_weights_are_refused(pool: ReferencePool, make: Make) -> None:
    make(pool, FineTune(epochs=1))
    path, beside = pool.weights[1], pool.folder / "member-001.json"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path)
    values = read_sealed_json(beside)
    write_sealed_json(beside, values | {"weights_sha256": sha256_of(path)})  # as if trained on another machine
    with pytest.raises(AuditError, match=r"expected a shadow of the reference with weights .* shadow-001.json|delete"):
        make(pool, FineTune(epochs=1))


def test_an_edited_description_of_shadows_is_refused_and_may_be_deleted(pool: ReferencePool, make: Make) -> None:
    first = make(pool, FineTune(epochs=1))
    path = first.folder / "shadows.json"
    path.write_text(path.read_text(encoding="utf-8").replace("epochs=1", "epochs=2"), encoding="utf-8")
    with pytest.raises(AuditError, match=r"expected contents with sha256 .*shadows.json.*: delete the file"):
        make(pool, FineTune(epochs=1))
    path.unlink()
    before = times(pool.folder)
    assert len(make(pool, FineTune(epochs=1))) == MEMBERS
    assert {name: time for name, time in times(pool.folder).items() if name in before} == before
