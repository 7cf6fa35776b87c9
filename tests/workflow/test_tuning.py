"""Tuning: settings are chosen without a retrained model, and the same ones each time."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.errors import AuditError, MethodError
from obliviate.experiment import Experiment
from obliviate.methods.amun import AMUN
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.influence import Influence
from obliviate.methods.never_seen import NeverSeen
from obliviate.methods.retrain import Retrain
from obliviate.methods.scrub import Scrub
from obliviate.methods.ssd import SSD
from obliviate.references.pool import ReferencePool
from obliviate.references.teachers import PoolTeachers
from obliviate.task import Classification, Regression
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.workflow import TrainedModel, audit_models, tune, tuning, unlearn
from obliviate.workflow.expectation import Expectation, Score
from obliviate.workflow.models import read, save
from obliviate.workflow.tuning import Knobs, Search, Trial

# ------------------------------------------------------------------------------------------- the search


def scored(total: float, strength: float) -> Score:
    return Score(90.0, 90.0, 99.0, 85.0, 50.0, None, 0.0, total, strength)


def searched(method: Any, score: Callable[[dict[str, float]], Score | str], budget: int = 8) -> Search:
    """A search over what a function says of each setting."""
    search = Search(method)
    while len(search.trials) < budget and (setting := search.following()) is not None:
        values = search.knobs.values(setting)
        outcome = score(values)
        if isinstance(outcome, str):
            search.trials.append(Trial(values, None, 1.0, outcome, math.inf if outcome == "nan" else -math.inf))
        else:
            search.trials.append(Trial(values, outcome, 1.0))
    return search


@pytest.mark.parametrize("begin", [1e-6, 0.01, 0.16, 3.0, 50.0])
def test_the_search_reaches_the_best_rate_from_far_away(begin: float) -> None:
    def score(values: dict[str, float]) -> Score | str:
        rate = values["learning_rate"]
        if rate > 1:
            return "nan"
        off = math.log2(rate / 0.1)
        return scored(min(abs(off), 6.0) + 0.3 * abs(values["epochs"] - 2), off)

    search = searched(FineTune(learning_rate=begin, epochs=2), score)
    chosen: Any = search.settings[search.best]
    assert len(search.trials) <= 8
    assert search.trials[0].settings == {"learning_rate": begin, "epochs": 2}
    assert 0.05 <= chosen.learning_rate <= 0.2
    assert chosen.epochs == 2


def test_the_search_lengthens_a_method_where_that_helps_and_tries_no_setting_twice() -> None:
    search = searched(Scrub(), lambda values: scored(abs(values["epochs"] - 4), -1.0))
    assert search.trials[search.best].settings["epochs"] == 2
    assert search.trials[search.best].settings["max_epochs"] == 2
    assert len(set(map(repr, search.settings))) == len(search.settings)


def test_a_strength_takes_the_place_of_a_rate_and_a_weakness_goes_the_other_way() -> None:
    weaker: Any = Knobs.of(SSD()).turned(SSD(), (-1, 0))
    assert weaker.alpha == 4.0
    stronger: Any = Knobs.of(Influence()).turned(Influence(), (1, 0))
    assert (stronger.alpha, stronger.radius) == (200.0, 0.1)
    assert searched(SSD(), lambda values: scored(abs(values["alpha"] - 8), 8 - values["alpha"])).best > 0


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Cannot do it."""

    name: ClassVar[str] = "broken"
    needs: ClassVar[frozenset[str]] = frozenset()
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "here"
    learning_rate: float = 0.1
    epochs: int = 3

    def __call__(self, model: nn.Module, split: Split, run: Any) -> nn.Module:
        raise MethodError("expected better weather, got rain; wait")


def test_methods_written_elsewhere_are_tuned_by_the_names_of_their_fields() -> None:
    assert Knobs.of(Broken()).values(Broken()) == {"learning_rate": 0.1, "epochs": 3}


def test_a_method_without_anything_to_tune_is_refused() -> None:
    with pytest.raises(MethodError, match=r"expected a method with a learning rate.*got retrain.*leave out the tuning"):
        Knobs.of(Retrain())


# ------------------------------------------------------------------------------------------- on a model


@pytest.fixture(scope="module")
def by_heart_model(noise: Samples, two_classes: Classification, by_heart: Recipe) -> nn.Module:
    return workflow.train(Experiment(two_classes, by_heart, noise.select(noise.ids[:160]))).model


@pytest.fixture(scope="module")
def request_(noise: Samples) -> Split:
    train = noise.select(noise.ids[:160])
    return Split.of(train, forget=train.ids[:40].tolist(), holdout=noise.select(noise.ids[160:220]))


@pytest.fixture(scope="module")
def pictures(data: Any, few: Samples) -> Split:
    """60 of 600 images to forget, and 300 unseen ones."""
    return Split.of(few, forget=few.ids[:60].tolist(), holdout=data.holdout.select(data.holdout.ids[:300]))


@pytest.fixture(scope="module")
def teachers(
    noise: Samples, request_: Split, two_classes: Classification, by_heart: Recipe, tmp_path_factory: Any
) -> ReferencePool:
    folder = tmp_path_factory.mktemp("teachers")
    train = noise.select(noise.ids[:160])
    return workflow.train_references(
        Experiment(two_classes, by_heart, train, request_.holdout), folder=folder, models=4, workers=0
    )


@pytest.mark.parametrize(
    "method", [FineTune(learning_rate=3.0), GradientAscent(learning_rate=0.6)], ids=attrgetter("name")
)
def test_settings_that_ruin_a_model_are_mended(
    original: nn.Module, pictures: Split, task: Classification, recipe: Recipe, method: Any
) -> None:
    tuned = tune(TrainedModel.given(original, task, recipe=recipe), pictures, method)
    first, chosen = tuned.trials[0], tuned.trials[tuned.chosen]
    assert chosen.total < first.total - 20
    assert chosen.score is not None
    assert chosen.score.lost < 5
    assert tuned.trained.effect is not None
    assert tuned.trained.effect.verdict != "damaged"
    assert len(tuned.trials) <= 8


def test_settings_that_do_nothing_are_mended(
    by_heart_model: nn.Module, request_: Split, two_classes: Classification, by_heart: Recipe
) -> None:
    tuned = tune(TrainedModel.given(by_heart_model, two_classes, recipe=by_heart), request_, AMUN(learning_rate=1e-6))
    first, chosen = (tuned.trials[place].score for place in (0, tuned.chosen))
    assert first is not None
    assert chosen is not None
    assert first.forget == 100
    assert chosen.total < 0.8 * first.total
    assert chosen.forget < 90


def test_the_same_seed_gives_the_same_settings_and_weights_which_unlearning_alone_gives_too(
    by_heart_model: nn.Module, request_: Split, two_classes: Classification, by_heart: Recipe
) -> None:
    before = weights_sha256(by_heart_model)
    first, second = (
        tune(TrainedModel.given(by_heart_model, two_classes, recipe=by_heart), request_, FineTune(), budget=4, seed=3)
        for _ in range(2)
    )
    assert weights_sha256(by_heart_model) == before
    assert repr(first.method) == repr(second.method) == first.trained.method
    assert [trial.settings for trial in first.trials] == [trial.settings for trial in second.trials]
    alone = unlearn(TrainedModel.given(by_heart_model, two_classes, recipe=by_heart), request_, first.method, seed=3)
    assert weights_sha256(alone.model) == weights_sha256(first.trained.model) == weights_sha256(second.trained.model)
    assert first.trained.effect == alone.effect
    assert first.seconds > (first.trained.seconds or 0.0) > 0
    assert (first.budget, first.judge) == ("4 of at most 4 trials", "60 unseen samples")


def test_a_model_tuned_by_teachers_says_so_and_no_audit_rests_on_them(
    by_heart_model: nn.Module,
    request_: Split,
    two_classes: Classification,
    by_heart: Recipe,
    teachers: ReferencePool,
    tmp_path: Path,
) -> None:
    tuned = tune(
        TrainedModel.given(by_heart_model, two_classes, recipe=by_heart),
        request_,
        FineTune(),
        teachers=teachers,
        budget=2,
    )
    assert tuned.judge == "4 teachers and 60 unseen samples"
    assert tuned.trained.teachers == teachers.fingerprint
    experiment = Experiment(two_classes, by_heart, request_.forget.joined(request_.kept), request_.holdout)
    with pytest.raises(AuditError, match="expected references that no model has learned from"):
        audit_models(experiment, [tuned.trained.named("tuned")], replace(request_, holdout=None), teachers)
    save(tmp_path / "model.safetensors", tuned.trained, data_sha256="", ids=[])
    kept, manifest = read(tmp_path / "model.safetensors", two_classes, by_heart)
    assert (kept.teachers, kept.tuning) == (teachers.fingerprint, tuned.to_dict())
    assert (
        manifest.settings["method"]["settings"]["learning_rate"] == tuned.trials[tuned.chosen].settings["learning_rate"]
    )
    learned = tune(
        TrainedModel.given(by_heart_model, two_classes, recipe=by_heart),
        request_,
        NeverSeen(),
        teachers=teachers,
        budget=2,
    )
    assert learned.trained.teachers == teachers.fingerprint


def test_an_interrupted_search_reads_back_what_was_tried(
    by_heart_model: nn.Module,
    request_: Split,
    two_classes: Classification,
    by_heart: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, Any] = {"budget": 3, "folder": tmp_path}
    original = TrainedModel.given(by_heart_model, two_classes, recipe=by_heart)
    whole = tune(original, request_, FineTune(), budget=3)
    calls: list[str] = []

    def counting(*arguments: Any, **further: Any) -> TrainedModel:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(repr(arguments[2]))
        return unlearn(*arguments, **further)

    monkeypatch.setattr(tuning, "unlearn", counting)
    with pytest.raises(KeyboardInterrupt):
        tune(original, request_, FineTune(), **options)
    calls.clear()
    again = tune(original, request_, FineTune(), **options)
    assert len(calls) == 1
    assert weights_sha256(again.trained.model) == weights_sha256(whole.trained.model)
    assert [trial.score for trial in again.trials] == [trial.score for trial in whole.trials]


def test_what_cannot_be_tuned_is_refused(
    by_heart_model: nn.Module, request_: Split, two_classes: Classification, by_heart: Recipe
) -> None:
    def refused(method: Any, split: Split = request_, **options: Any) -> str:
        with pytest.raises(MethodError) as caught:
            tune(TrainedModel.given(by_heart_model, two_classes, recipe=by_heart), split, method, **options)
        return str(caught.value)

    assert "expected a holdout set to tune by, got none" in refused(FineTune(), replace(request_, holdout=None))
    assert "expected a budget of at least 2 trials, got 1" in refused(FineTune(), budget=1)
    assert "expected a retain set for fine_tune" in refused(FineTune(), request_.without_retain())
    message = refused(Broken(), budget=2)
    assert "got none in 2 trials" in message
    assert "expected better weather" in message


# ------------------------------------------------------------------------------------------- what is expected


def test_a_retrained_model_is_nearer_than_the_original_and_ruin_is_farther(
    by_heart_model: nn.Module, request_: Split, two_classes: Classification, by_heart: Recipe, teachers: ReferencePool
) -> None:
    retrained = unlearn(
        TrainedModel.given(by_heart_model, two_classes, recipe=by_heart), request_, Retrain(), measure=None
    ).model
    ruined = copy.deepcopy(by_heart_model)
    with torch.no_grad():
        for parameter in ruined.parameters():
            parameter.mul_(-1)
    asked = PoolTeachers.of(teachers, by_heart, two_classes)
    for expectation in (
        Expectation.of(by_heart_model, request_, two_classes, asked),
        Expectation.of(by_heart_model, request_, two_classes),
    ):
        good, memorised, bad = (expectation.score(model) for model in (retrained, by_heart_model, ruined))
        assert good.total < 0.5 * memorised.total < bad.total
        assert memorised.strength < 0 < bad.strength
        assert memorised.lost == 0
        assert memorised.auc > 75
        assert (memorised.distance is None) == (not expectation.opinions)


def test_of_a_class_that_is_forgotten_as_a_whole_nothing_should_be_known(
    noise: Samples, by_heart_model: nn.Module, two_classes: Classification
) -> None:
    train, y = noise.select(noise.ids[:160]), noise.select(noise.ids[:160]).everything().y
    split = Split.of(train, forget=train.ids[(y == 1).numpy()].tolist(), holdout=noise.select(noise.ids[160:]))
    expectation = Expectation.of(by_heart_model, split, two_classes)
    assert expectation.forget == 0
    assert Expectation.of(by_heart_model, split.without_retain(), two_classes).forget > 0.3
    score = expectation.score(by_heart_model)
    assert score.retain == 100


def test_unseen_samples_of_other_classes_tell_nothing_without_teachers(
    noise: Samples, by_heart_model: nn.Module, two_classes: Classification
) -> None:
    y = noise.everything().y.numpy()
    train, others = noise.select(noise.ids[:160]), noise.select(noise.ids[160:][y[160:] == 0])
    forget = train.ids[y[:160] == 1][:20].tolist()
    with pytest.raises(MethodError, match="expected holdout samples of the classes to forget, got none"):
        Expectation.of(by_heart_model, Split.of(train, forget=forget, holdout=others), two_classes)


def test_numbers_are_tuned_by_unseen_samples_whatever_teachers_there_are() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(120, 20, generator=generator), torch.randn(120, 1, generator=generator)
    samples = Samples.from_tensors(x, y, ids=[f"s{row:03d}" for row in range(120)])
    recipe = Recipe(
        model="mlp", model_options={"features": 20, "classes": 1, "hidden": (64,)}, epochs=40, batch_size=16,
        learning_rate=0.02, precision="float32",
    )  # fmt: skip
    train, task = samples.select(samples.ids[:80]), Regression()
    model = workflow.train(Experiment(task, recipe, train)).model
    split = Split.of(train, forget=train.ids[:20].tolist(), holdout=samples.select(samples.ids[80:]))
    tuned = tune(TrainedModel.given(model, task, recipe=recipe), split, FineTune(learning_rate=1e-6), budget=5)
    assert tuned.trained.teachers is None
    assert tuned.trials[tuned.chosen].total <= tuned.trials[0].total
