from types import SimpleNamespace

import pytest

from obliviate.training import progress
from obliviate.training.progress import TICK, Epoch

Report = tuple[str, float, float]


def reported(monkeypatch: pytest.MonkeyPatch, *, batches: int, pause: float) -> list[Report]:
    """What is told of the second of five epochs, whose four batches take this long each, in seconds."""
    now, seen = SimpleNamespace(value=100.0), list[Report]()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.value))
    report = Epoch("train", 1, 5).reporter(lambda stage, done, total: seen.append((stage, done, total)), batches)
    for done in (1, 2, 3, 4):
        now.value += pause
        report(done)
    return seen


def test_an_epoch_is_reported_once_a_tick(monkeypatch: pytest.MonkeyPatch):
    every = [("train", 1 + done / 4, 5) for done in (1, 2, 3, 4)]
    assert reported(monkeypatch, batches=4, pause=2 * TICK) == every
    assert reported(monkeypatch, batches=4, pause=0.6 * TICK) == every[1::2]
    assert reported(monkeypatch, batches=4, pause=0.2 * TICK) == []


def test_nothing_is_reported_of_batches_of_which_nobody_knows_how_many_they_are(monkeypatch: pytest.MonkeyPatch):
    assert reported(monkeypatch, batches=0, pause=2 * TICK) == []
