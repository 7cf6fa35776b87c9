import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from obliviate import workflow
from obliviate.data.samples import Samples
from obliviate.errors import DataError, MethodError, TrainingError, WorkspaceError
from obliviate.experiment import Experiment
from obliviate.methods.amun import AMUN, SUFFIX, adversarial_examples
from obliviate.methods.fine_tune import FineTune
from obliviate.methods.gradient_ascent import GradientAscent
from obliviate.methods.retrain import Retrain
from obliviate.models.mlp import MLP
from obliviate.requests import Requests
from obliviate.task import Classification
from obliviate.testing import counted
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run
from obliviate.workflow import Session, TrainedModel

ASCENT = GradientAscent(learning_rate=0.01)
FIRST, SECOND = ["s03", "s01"], ["s07", "s02"]


@pytest.fixture(scope="module")
def train(tiny: Samples) -> Samples:
    return tiny.select(tiny.ids[:40])


@pytest.fixture(scope="module")
def original(train: Samples, three_classes: Classification, tiny_recipe: Recipe) -> TrainedModel:
    return workflow.train(Experiment(three_classes, tiny_recipe, train))


@pytest.fixture
def numbers(three_classes: Classification) -> Classification:
    """The same classes, of inputs in a known range, so that they can be perturbed."""
    return Classification(classes=3, input_range=(0.0, 1.0))


def models_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("models/*.safetensors"))


def sha(session: Session) -> str:
    return weights_sha256(session.model)


def test_each_request_begins_from_the_model_that_the_last_one_left(
    original: TrainedModel, train: Samples, three_classes: Classification
) -> None:
    begun = Session.of(original, train)
    first = begun.forget(FIRST, ASCENT)
    second = first.forget(SECOND, FineTune(epochs=1), seed=5)
    assert (begun.requests, first.requests, second.requests) == (0, 1, 2)
    assert second.forgotten.tolist() == FIRST + SECOND
    assert second.last.forget.ids.tolist() == SECOND
    assert len(second.last.kept) == 36
    assert weights_sha256(begun.model) == weights_sha256(original.model)
    direct = workflow.unlearn(original, begun.history.split(FIRST), ASCENT)
    assert sha(first) == weights_sha256(direct.model)
    direct = workflow.unlearn(first.trained, second.last, FineTune(epochs=1), seed=5)
    assert sha(second) == weights_sha256(direct.model)


def test_a_retrain_at_the_second_request_is_a_training_without_all_that_was_forgotten(
    original: TrainedModel, train: Samples, three_classes: Classification, tiny_recipe: Recipe
) -> None:
    session = Session.of(original, train).forget(FIRST, ASCENT)
    session = session.forget(SECOND, Retrain(), seed=3)
    fresh = workflow.train(Experiment(three_classes, tiny_recipe, train.without(FIRST + SECOND), seed=3))
    assert sha(session) == weights_sha256(fresh.model)


@pytest.mark.parametrize(
    ("ids", "got"),
    [
        (["s05", "s03"], "got 's03' of request 1, which are forgotten already"),
        (["s50"], "got 's50'"),
        ([f"s{i:02d}" for i in range(40) if i not in (1, 3)], "got all 38 samples; to forget everything, delete"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_before_any_work(
    ids: list[str],
    got: str,
    original: TrainedModel,
    train: Samples,
    three_classes: Classification,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session.of(original, train).forget(FIRST, ASCENT)
    for name in ("fit", "epochs", "once", "train"):
        monkeypatch.setattr(Run, name, lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(DataError, match=got):
        session.forget(ids, ASCENT, folder=tmp_path / "requests")
    assert not (tmp_path / "requests").exists()


def test_a_hidden_retain_set_is_not_read(original: TrainedModel, train: Samples, three_classes: Classification) -> None:
    watched, reads = counted(train)
    Session.of(original, watched).forget(FIRST, ASCENT, retain=False).forget(SECOND, ASCENT, retain=False)
    assert set(reads()) == {*FIRST, *SECOND}
    with pytest.raises(MethodError, match="expected a retain set for fine_tune, got none"):
        Session.of(original, train).forget(FIRST, FineTune(), retain=False)


# ------------------------------------------------------------------------------------------- folders


class Killed(Exception):
    """Stands for a power cut."""


def test_killed_at_any_time_and_resumed_equals_uninterrupted(
    original: TrainedModel, train: Samples, numbers: Classification, tmp_path: Path
) -> None:
    """AMUN keeps its examples on the way, and retains nothing of them in the end."""

    def both(folder: Path | None, progress: Callable[..., None]) -> Session:
        session = Session.of(original, train)
        for ids in (FIRST, SECOND):
            session = session.forget(ids, AMUN(), folder=folder, progress=progress)
        return session

    whole, calls = both(None, lambda *_: None), 0

    def dying(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in {1, 3, 5, 8, 12}:
            raise Killed

    kills = 0
    while True:
        try:
            resumed = both(tmp_path / "requests", dying)
        except Killed:
            kills += 1
            continue
        break
    assert kills >= 3
    assert sha(resumed) == sha(whole)
    left = sorted(str(path.relative_to(tmp_path / "requests")) for path in (tmp_path / "requests").rglob("*.*"))
    files = ["models/ID.json", "models/ID.safetensors", "request.json"]
    expected = [f"requests/000{number}/{name}" for number in (1, 2) for name in files]
    assert [re.sub(r"\d-amun-\w{10}", "ID", name) for name in left] == ["events.jsonl", *expected]


def test_finished_requests_are_read_back_and_a_different_one_is_made_anew(
    original: TrainedModel,
    train: Samples,
    three_classes: Classification,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tune = FineTune(epochs=1, batch_size=8, optimizer="sgd", learning_rate=0.002, momentum=0.9, weight_decay=5e-4)
    first = Session.of(original, train).forget(FIRST, tune, folder=tmp_path)
    other = Session.of(original, train).forget(FIRST, tune, folder=tmp_path, seed=1)
    assert len(models_in(tmp_path)) == 2
    assert sha(first) != sha(other)
    monkeypatch.setattr(Run, "fit", lambda *_, **__: pytest.fail("trained again"))
    again = Session.of(original, train).forget(FIRST, tune, folder=tmp_path)
    assert sha(again) == sha(first)
    assert (again.trained.method, again.trained.role, again.trained.seed) == (repr(tune), "unlearned", 0)


def test_another_recipe_task_or_forward_pass_makes_a_request_anew(
    original: TrainedModel, train: Samples, three_classes: Classification, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    class Halved(Classification):
        def per_sample(self, output: Tensor, y: Tensor) -> Tensor:
            return super().per_sample(output, y) / 2

    class Tanh(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).tanh()

    def mlp(**options: Any) -> MLP:
        return MLP(**options)

    def make(recipe: Recipe = tiny_recipe, task: Classification = three_classes, served: Any = original) -> Session:
        model = getattr(served, "model", served)
        trained = TrainedModel.given(model, task, recipe=recipe)
        return Session.of(trained, train).forget(FIRST, Retrain(), folder=tmp_path)

    edited = Tanh(features=6, classes=3, hidden=(8,))
    edited.load_state_dict(original.model.state_dict())
    session = make()
    assert sha(make(replace(tiny_recipe, model=mlp))) == sha(session)
    assert len(models_in(tmp_path)) == 1
    others = [
        make(replace(tiny_recipe, epochs=1)),
        make(replace(tiny_recipe, model=Tanh)),
        make(task=Halved(classes=3)),
    ]
    assert len({sha(session), *map(sha, others)}) == 4
    make(served=edited)
    assert len(models_in(tmp_path)) == 5


def test_a_model_that_was_made_for_another_request_is_not_read_back(
    original: TrainedModel, train: Samples, three_classes: Classification, tmp_path: Path
) -> None:
    tune = FineTune(epochs=1, batch_size=8)
    Session.of(original, train).forget(FIRST, tune, folder=tmp_path / "mine")
    Session.of(original, train).forget(SECOND, tune, folder=tmp_path / "other")
    ((mine,), (other,)) = (models_in(tmp_path / name) for name in ("mine", "other"))
    for ending in (".json", ".safetensors"):
        mine.with_suffix(ending).write_bytes(other.with_suffix(ending).read_bytes())
    with pytest.raises(WorkspaceError, match=r"expected a model of this folder's data, got .* of other data"):
        Session.of(original, train).forget(FIRST, tune, folder=tmp_path / "mine")


def test_a_folder_has_one_story(
    original: TrainedModel, train: Samples, three_classes: Classification, tmp_path: Path
) -> None:
    begun = Session.of(original, train)
    first = begun.forget(FIRST, ASCENT, folder=tmp_path)
    with pytest.raises(WorkspaceError, match=r"expected the forget set that .* has had from the start, got another"):
        begun.forget(SECOND, ASCENT, folder=tmp_path)
    elsewhere = begun.forget(FIRST, FineTune(epochs=1))
    with pytest.raises(WorkspaceError, match=r"expected a model of request 1 of .* to go on from, got none with the w"):
        elsewhere.forget(SECOND, ASCENT, folder=tmp_path)
    assert first.forget(SECOND, ASCENT, folder=tmp_path).trained.id.startswith("2-gradient_ascent-")
    assert [event.kind for event in Requests(tmp_path).log.events] == [
        *("asked", "made", "refused", "refused", "asked", "made")
    ]


def test_a_request_that_fails_leaves_an_event_and_nothing_else(
    original: TrainedModel, train: Samples, three_classes: Classification, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError):
        Session.of(original, train).forget(FIRST, FineTune(learning_rate=1e30), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
    asked, refused = Requests(tmp_path).log.events
    assert (asked.kind, refused.kind, refused.facts["request"]) == ("asked", "refused", 1)
    assert refused.facts["error"] == "TrainingError"


# ------------------------------------------------------------------------------------------- what methods bring along


def test_examples_found_before_are_read_of_the_samples_of_the_request_and_later_ones_only(
    original: TrainedModel, train: Samples, numbers: Classification, tmp_path: Path
) -> None:
    wanted = train.select(FIRST + SECOND)
    examples, reads = counted(adversarial_examples(original.model, wanted, Run(numbers)))
    session = Session.of(original, train).forget(FIRST, AMUN(examples=examples), folder=tmp_path)
    assert set(reads()) >= {f"{name}{SUFFIX}" for name in FIRST}
    before = reads()
    fresh = AMUN(examples=Samples(examples.store, examples.ids, examples.rows))  # whose hash is not known yet
    reused = session.forget(SECOND, fresh, folder=tmp_path)
    assert set(reads() - before) == {f"{name}{SUFFIX}" for name in SECOND}
    anew = session.forget(SECOND, AMUN())
    assert sha(reused) != sha(anew)


def test_what_a_method_brings_along_of_forgotten_samples_is_taken_away(train: Samples) -> None:
    examples = Samples.from_tensors(torch.rand(3, 6), torch.zeros(3), ids=["s01", f"s01{SUFFIX}", f"s02{SUFFIX}"])
    left: Any = workflow.without_forgotten(AMUN(examples=examples), train.select(["s01"]).ids)
    assert left.examples.ids.tolist() == [f"s02{SUFFIX}"]
    assert workflow.without_forgotten(ASCENT, train.ids) is ASCENT
