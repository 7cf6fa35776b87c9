"""Progress and results reach notebooks and trackers, and an interrupted call goes on where it was."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import IPython
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from obliviate import tracking
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods.fine_tune import FineTune
from obliviate.task import Classification
from obliviate.tracking import ProgressBar, Tracker
from obliviate.training.checkpoint import weights_sha256
from obliviate.training.recipe import Recipe
from obliviate.workflow import Session, TrainedModel, audit_models, train, train_references, unlearn


@pytest.fixture(scope="module")
def experiment(tiny: Samples, three_classes: Classification, tiny_recipe: Recipe) -> Experiment:
    return Experiment(three_classes, tiny_recipe, tiny.select(tiny.ids[:40]), tiny.select(tiny.ids[40:]))


@pytest.fixture(scope="module")
def original(experiment: Experiment) -> TrainedModel:
    return train(experiment)


@pytest.fixture(scope="module")
def split(experiment: Experiment) -> Split:
    return experiment.split(experiment.train.ids[:10])


# Trackers


def test_figures_and_progress_arrive_in_a_tracker_that_runs_offline(
    experiment: Experiment, original: TrainedModel, split: Split, tmp_path: Path
) -> None:
    from tensorboardX import SummaryWriter
    from tensorboardX.proto import event_pb2

    with SummaryWriter(str(tmp_path / "runs")) as writer:

        def log(figures: dict[str, float], step: int) -> None:
            for name, value in figures.items():
                writer.add_scalar(name, value, step)

        tracker = Tracker(log)
        forgot = unlearn(original, split, FineTune(epochs=2), progress=tracker)
        tracker.report(forgot)
        pool = train_references(experiment, folder=tmp_path / "pool", models=4, workers=0, progress=tracker)
        result = audit_models(experiment, [original, forgot], split, pool)
        tracker.report(result)
    logged: dict[str, list[tuple[int, float]]] = {}
    for event in _records(next((tmp_path / "runs").iterdir()).read_bytes()):
        parsed = event_pb2.Event.FromString(event)  # pyright: ignore[reportAttributeAccessIssue]
        for value in parsed.summary.value:
            logged.setdefault(value.tag, []).append((parsed.step, value.simple_value))
    steps, shares = zip(*logged["progress/fine_tune"], strict=True)
    assert list(steps) == sorted(steps)
    assert list(shares) == sorted(shares)
    assert shares[-1] == 1.0
    assert logged["original/ft_auc"][0][1] == pytest.approx(result.models[0].attacks["rmia"].ft.value, rel=1e-5)
    assert forgot.effect is not None
    part = forgot.effect.parts["forget"]
    assert logged["FineTune/forget/accuracy/after"][0][1] == pytest.approx(part.after["accuracy"], rel=1e-5)


def _records(content: bytes) -> list[bytes]:
    """The records of an event file: each its length and a checksum, the content, and another checksum."""
    records, place = [], 0
    while place < len(content):
        (length,) = struct.unpack("<Q", content[place : place + 8])
        records.append(content[place + 12 : place + 12 + length])
        place += length + 16
    return records


def test_a_tracker_that_fails_stops_the_work_and_nothing_is_lost(
    experiment: Experiment, original: TrainedModel, split: Split
) -> None:
    def broken(figures: dict[str, float], step: int) -> None:
        raise ConnectionError("no route")

    before = weights_sha256(original.model)
    with pytest.raises(ConnectionError):
        unlearn(original, split, FineTune(epochs=2), progress=Tracker(broken))
    assert weights_sha256(original.model) == before


def test_names_are_such_as_every_tracker_takes() -> None:
    seen: list[dict[str, float]] = []
    tracker = Tracker(lambda figures, step: seen.append(figures))
    tracker.report(SimpleNamespace(figures=lambda: {"AMUN (ε=1)/recall of class naïve %": 1.0}))  # pyright: ignore[reportArgumentType]
    assert seen == [{"AMUN ___1_/recall of class na_ve _": 1.0}]


def test_a_bar_can_stand_beside_a_tracker() -> None:
    reports: list[tuple[str, float, float]] = []

    def tell(stage: str, done: float, total: float) -> None:
        reports.append((stage, done, total))

    tracker = Tracker(lambda figures, step: None, progress=tell)
    tracker("train", 1, 2)
    assert reports == [("train", 1, 2)]
    assert tracker.step == 1


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_finished_stage_is_a_line_where_nobody_watches() -> None:
    stream = io.StringIO()
    bar = ProgressBar(stream=stream)
    for stage in ("train", "audit"):
        for done in (0.5, 1, 2, 2):
            bar(stage, done, 2)
    assert [line.partition(":")[0] for line in stream.getvalue().splitlines()] == ["train", "audit"]


def test_the_same_stage_once_more_is_shown_once_more() -> None:
    stream = io.StringIO()
    bar = ProgressBar(stream=stream)
    for done in (1, 2, 1, 2):
        bar("train", done, 2)
    assert stream.getvalue().count("train: ") == 2


def test_a_bar_fills_up_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PAUSE", 0.0)
    stream = Terminal()
    bar = ProgressBar(stream=stream)
    for done in (0, 1, 2):
        bar("train", done, 2)
    drawn = stream.getvalue().split("\r")[1:]
    assert [line.count("█") for line in drawn] == [0, 16, 32]
    assert stream.getvalue().endswith(" s\n")


def test_a_notebook_shows_one_bar_a_stage_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PAUSE", 0.0)
    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    assert IPython.get_ipython() is shell
    assert tracking.in_notebook()
    try:
        with capture_output() as captured:
            bar = ProgressBar()
            for done in (0, 1, 2):
                bar("train <model>", done, 2)
    finally:
        InteractiveShell.clear_instance()
    texts = [output.data["text/html"] for output in captured.outputs]
    assert [text.partition(" max")[0] for text in texts] == [f'<progress value="{done}"' for done in (0, 1, 2)]
    assert all("train &lt;model&gt;" in text for text in texts)
    assert [output.update for output in captured.outputs] == [False, True, True]
    assert len({output.transient["display_id"] for output in captured.outputs}) == 1


# Interrupts, as the stop button of a notebook makes them


def test_an_interrupted_unlearning_goes_on(
    original: TrainedModel, split: Split, interrupt: Callable[..., list[int]], tmp_path: Path
) -> None:
    before, whole = weights_sha256(original.model), unlearn(original, split, FineTune(epochs=4))
    epochs = interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        unlearn(original, split, FineTune(epochs=4), folder=tmp_path)
    assert weights_sha256(original.model) == before
    resumed = unlearn(original, split, FineTune(epochs=4), folder=tmp_path)
    assert weights_sha256(resumed.model) == weights_sha256(whole.model)
    assert epochs[0] == 2 + 1 + 2  # two, the one that was stopped, and the two that were missing


def test_an_interrupted_request_goes_on_and_is_served_once(
    original: TrainedModel, split: Split, experiment: Experiment, interrupt: Callable[..., list[int]], tmp_path: Path
) -> None:
    session = Session.of(original, experiment.train)
    whole = session.forget(split.forget.ids, FineTune(epochs=4))
    epochs = interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        session.forget(split.forget.ids, FineTune(epochs=4), folder=tmp_path)
    assert session.requests == 0
    resumed = session.forget(split.forget.ids, FineTune(epochs=4), folder=tmp_path)
    assert weights_sha256(resumed.model) == weights_sha256(whole.model)
    assert epochs[0] == 5
    assert resumed.requests == 1


def test_interrupted_references_go_on_with_those_that_are_missing(
    experiment: Experiment, interrupt: Callable[..., list[int]], tmp_path: Path
) -> None:
    whole = train_references(experiment, folder=tmp_path / "whole", models=4, workers=0)
    epochs = interrupt(8)  # in the third of four models, which have three epochs each
    with pytest.raises(KeyboardInterrupt):
        train_references(experiment, folder=tmp_path / "stopped", models=4, workers=0)
    pool = train_references(experiment, folder=tmp_path / "stopped", models=4, workers=0)
    assert epochs[0] == 12 + 1
    np.testing.assert_array_equal(pool.logits, whole.logits)


def test_an_interrupted_audit_is_made_again_from_the_same_references(
    experiment: Experiment, original: TrainedModel, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = train_references(experiment, folder=tmp_path, models=4, workers=0)
    whole = audit_models(experiment, [original], split, pool)

    def stopped(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("obliviate.workflow.auditing.observed", stopped)
        with pytest.raises(KeyboardInterrupt):
            audit_models(experiment, [original], split, pool)
    again = train_references(experiment, folder=tmp_path, models=4, workers=0)
    assert audit_models(experiment, [original], split, again) == whole
