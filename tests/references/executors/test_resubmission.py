"""Calls that were lost with their machine are submitted again, a few times; failures of their own are not."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from obliviate.references.executors import resubmission
from obliviate.references.executors.resubmission import MOST, PAUSE, Resubmitted


class Lost(Exception):
    """The machine has ended."""


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(resubmission, "time", clock)
    return clock


def done(pending: Resubmitted, clock: Clock) -> bool:
    """Whether it is done after ever so long."""
    for _ in range(MOST):
        clock.now += 60
        pending.done()
    return pending.done()


def futures(*outcomes: object) -> tuple[Callable[[], Future[object]], list[Future[object]]]:
    rest, begun = list(outcomes), list[Future[object]]()

    def submit() -> Future[object]:
        future: Future[object] = Future()
        outcome = rest.pop(0)
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif outcome is not None:
            future.set_result(outcome)
        begun.append(future)
        return future

    return submit, begun


def test_what_is_lost_is_submitted_again_and_it_is_said(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    submit, begun = futures(Lost(), Lost(), 3)
    pending = Resubmitted(submit, (Lost,))
    assert done(pending, clock)
    assert (pending.result(), pending.times, len(begun)) == (3, 2, 3)
    assert [text.split(";")[1] for text in caplog.messages] == [
        f" it is submitted again, {time} of at most {MOST} times, and goes on where it was" for time in (1, 2)
    ]


def test_it_is_submitted_again_at_once_and_later_after_pauses(clock: Clock) -> None:
    submit, begun = futures(Lost(), Lost(), Lost(), 3)
    pending = Resubmitted(submit, (Lost,))
    for moment, submissions in ((0.0, 2), (PAUSE - 0.1, 2), (PAUSE, 3), (4 * PAUSE - 0.1, 3)):
        clock.now = moment
        assert not pending.done()
        assert len(begun) == submissions
    clock.now = 4 * PAUSE
    assert pending.done()
    assert pending.result() == 3


def test_what_is_lost_again_and_again_is_a_failure(clock: Clock) -> None:
    submit, begun = futures(*[Lost() for _ in range(9)])
    pending = Resubmitted(submit, (Lost,))
    assert done(pending, clock)
    assert len(begun) == MOST + 1
    with pytest.raises(Lost):
        pending.result()


def test_a_failure_of_the_call_itself_is_not_tried_again() -> None:
    submit, begun = futures(ZeroDivisionError("no such luck"))
    pending = Resubmitted(submit, (Lost,))
    assert pending.done()
    assert len(begun) == 1
    with pytest.raises(ZeroDivisionError, match="no such luck"):
        pending.result()


def test_what_was_cancelled_is_not_submitted_again() -> None:
    submit, begun = futures(None, 3)
    pending = Resubmitted(submit, (Lost,))
    assert not pending.done()
    pending.cancel()
    assert pending.done()
    assert begun[0].cancelled()
    assert len(begun) == 1
