from types import SimpleNamespace

import pytest

from obliviate.training import clock
from obliviate.training.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, which stands still until a test moves it on."""
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now.value))
    return now


def test_what_is_untimed_is_left_out(now: SimpleNamespace):
    watched = Clock()
    now.value += 3
    with watched.untimed(), watched.untimed():  # nested ones count once
        now.value += 50
    now.value += 1
    assert watched.seconds == 4


def test_what_fails_in_an_untimed_part_ends_it(now: SimpleNamespace):
    watched = Clock()

    @watched.untimed()
    def interrupted() -> None:
        now.value += 50
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    now.value += 2
    assert watched.seconds == 2


def test_what_is_timed_counts_once_in_an_untimed_part_and_outside(now: SimpleNamespace):
    watched = Clock()
    with watched.timed():
        now.value += 1
    with watched.untimed():
        now.value += 50
        with watched.timed():
            now.value += 4
        now.value += 50
    assert watched.seconds == 5


def test_of_what_was_spent_before_the_latest_state_counts(now: SimpleNamespace):
    watched = Clock()
    for seconds in (3.0, 7.0, 5.0):  # artefacts and stages tell of the same work, each up to its own end
        watched.spent(seconds)
    now.value += 2
    assert watched.seconds == 9
