"""What is promised of requests: none is lost, none is worked on twice, and the history says what became of each."""

import multiprocessing
import platform
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ledger_support import KEY, sample, submission, submit_many, take_all
from obliviate.errors import LedgerError
from obliviate.ledger import Ledger, Outcome, Promotion
from obliviate.ledger.names import Name


def kinds(ledger: Ledger) -> list[str]:
    return [event.kind for event in ledger.events()]


def test_a_request_goes_from_pending_over_running_to_done(address: str) -> None:
    ledger = Ledger.create(address)
    ledger.index([sample("s1"), sample("s2")], data_sha256="d")
    receipt = ledger.submit(submission("s1"), days=30)
    assert (receipt.request, receipt.state, receipt.new) == (1, "pending", True)
    lease = ledger.claim()
    assert lease is not None
    assert ledger.request(1).state == "running"
    assert ledger.claim() is None
    ledger.note(lease, "judged", verdict="leaks")
    ledger.finish(lease, {1: Outcome("done", {"certificate_sha256": "c"})})
    assert ledger.request(1).state == "done"
    assert kinds(ledger) == ["indexed", "submitted", "started", "judged", "done"]
    assert ledger.verify() == ledger.head
    ledger.close()


def test_the_same_request_is_answered_with_the_first(ledger: Ledger) -> None:
    first = ledger.submit(submission("s1"), days=30)
    again = ledger.submit(submission("s1"), days=30)
    assert (again.request, again.new) == (first.request, False)
    other = ledger.submit(submission("s1", key="asked once more"), days=30)
    assert (other.request, other.new) == (2, True)


def test_a_key_of_another_request_is_refused(ledger: Ledger) -> None:
    ledger.submit(submission("s1", key="k"), days=30)
    with pytest.raises(LedgerError, match="expected a key of this request's own, got that of request 1"):
        ledger.submit(submission("s2", key="k"), days=30)
    assert ledger.totals["pending"] == 1


def test_of_several_submissions_all_are_entered_or_none(ledger: Ledger) -> None:
    ledger.submit(submission("s1", key="k"), days=30)
    with pytest.raises(LedgerError):
        ledger.submit_all([submission("s3"), submission("s2", key="k")], days=30)
    assert ledger.totals["pending"] == 1
    ledger.verify()


def test_what_is_forgotten_already_is_answered_with_the_request_that_did_it(ledger: Ledger) -> None:
    ledger.submit(submission("s1", "s2"), days=30)
    lease = ledger.claim()
    assert lease is not None
    ledger.finish(lease, {1: Outcome("done")})
    receipt = ledger.submit(submission("s2"), days=30)
    assert (receipt.request, receipt.new, receipt.forgotten) == (1, False, True)
    assert ledger.submit(submission("s2", "s3"), days=30).new
    assert ledger.look_up("ids", [Name(KEY.of("name", "s1"), KEY.of("name spelled", "s1"))])[0].status == "forgotten"


def test_a_batch_takes_those_that_have_waited_longest_and_ends_with_an_outcome_of_each(ledger: Ledger) -> None:
    for place in range(3):
        ledger.submit(submission(f"s{place}"), days=30)
    lease = ledger.claim(most=2)
    assert lease is not None
    assert [request.number for request in lease.requests] == [1, 2]
    with pytest.raises(LedgerError, match=r"expected an outcome of each of the requests \[1, 2\], got \[1\]"):
        ledger.finish(lease, {1: Outcome("done")})
    ledger.finish(lease, {1: Outcome("done"), 2: Outcome("failed", {"reason": "DataError"})})
    assert ledger.totals == {"pending": 1, "running": 0, "done": 1, "failed": 1}
    ledger.verify()


def test_alone_begins_no_batch_beside_another(ledger: Ledger) -> None:
    ledger.submit(submission("s1"), days=30)
    ledger.submit(submission("s2"), days=30)
    assert ledger.claim(alone=True) is not None
    assert ledger.claim(alone=True) is None
    assert ledger.claim() is not None


def test_the_batch_of_a_worker_that_has_ended_is_taken_over_with_its_requests(ledger: Ledger) -> None:
    ledger.submit(submission("s1"), days=30)
    first = ledger.claim(worker=f"{platform.node()}/1/gone")
    ledger.submit(submission("s2"), days=30)
    second = ledger.claim(most=10)
    assert first is not None
    assert second is not None
    assert (second.batch, second.attempt, [request.number for request in second.requests]) == (1, 2, [1])
    with pytest.raises(LedgerError, match="expected to work on batch 1 still, got a lease that has ended"):
        ledger.finish(first, {1: Outcome("done")})
    with pytest.raises(LedgerError, match="another worker"):
        ledger.beat(first)
    ledger.finish(second, {1: Outcome("done")})
    assert kinds(ledger).count("done") == 1
    ledger.verify()


@pytest.mark.parametrize("jump", [61.0, -3600.0])
def test_a_lease_ends_when_nothing_is_heard_or_the_clock_has_jumped(url: str, jump: float) -> None:
    now = [1e9]
    ledger = Ledger.create(url, clock=lambda: now[0])
    ledger.submit(submission("s1"), days=30)
    lease = ledger.claim(seconds=60, worker="elsewhere/1/1")
    assert lease is not None
    now[0] += 30
    ledger.beat(lease)
    now[0] += 45
    assert ledger.claim() is None
    now[0] += jump
    assert ledger.claim() is not None
    assert [event.time for event in ledger.events()] == sorted(event.time for event in ledger.events())
    ledger.verify()
    ledger.close()


def test_a_batch_that_kills_its_workers_fails_after_so_many_attempts(ledger: Ledger) -> None:
    ledger.submit(submission("s1"), days=30)
    for _ in range(2):
        lease = ledger.claim(attempts=2)
        assert lease is not None
        ledger.release(lease)
    assert ledger.claim(attempts=2) is None
    assert ledger.totals["failed"] == 1
    ledger.verify()
    assert ledger.retry() == [1]
    lease = ledger.claim(attempts=2)
    assert lease is not None
    assert (lease.batch, lease.attempt) == (1, 1)
    ledger.finish(lease, {1: Outcome("done")})
    ledger.verify()


def test_a_request_that_failed_alone_waits_for_a_new_batch_when_retried(ledger: Ledger) -> None:
    ledger.submit_all([submission("s1"), submission("s2")], days=30)
    lease = ledger.claim(most=2)
    assert lease is not None
    ledger.finish(lease, {1: Outcome("done"), 2: Outcome("failed")})
    assert ledger.retry() == [2]
    assert ledger.request(2).state == "pending"
    ledger.verify()
    again = ledger.claim()
    assert again is not None
    assert (again.batch, [request.number for request in again.requests]) == (2, [2])


def test_what_serves_is_what_was_promoted_last(ledger: Ledger) -> None:
    assert ledger.serving is None
    first = ledger.promote(Promotion("original", "run/models/original.safetensors", "a" * 64, "b" * 64, 0))
    second = ledger.promote(Promotion("1-amun-5f", "run/models/1.safetensors", "c" * 64, "d" * 64, 1))
    assert ledger.serving == second
    ledger.promote(first, why="rolled back")
    assert ledger.serving is not None
    assert ledger.serving.model == "original"
    ledger.verify()


def test_what_is_due_is_what_is_not_done_by_then(ledger: Ledger) -> None:
    ledger.submit(submission("s1"), days=1)
    ledger.submit(submission("s2"), days=10)
    lease = ledger.claim()
    assert lease is not None
    now = ledger.head.time
    assert [request.number for request in ledger.open_until(now + 2 * 86_400)] == [1]
    ledger.finish(lease, {1: Outcome("done")})
    assert ledger.open_until(now + 2 * 86_400) == []
    assert [request.number for request in ledger.open_until(now + 20 * 86_400)] == [2]


def test_other_samples_than_it_was_begun_with_are_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="expected the samples that this ledger was begun with, got others"):
        ledger.index([sample("s1")], data_sha256="d")
    ledger.verify()


def test_a_full_disk_leaves_everything_as_it_was_and_says_so(ledger: Ledger) -> None:
    ledger.submit(submission("s1"), days=30)
    before = ledger.head

    def full(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # no page more than there are

    from sqlalchemy import event

    ledger.database.close()
    event.listen(ledger.database.engine, "connect", full)
    with pytest.raises(LedgerError, match=r"got database or disk is full; nothing was changed: make room"):
        ledger.submit_all([submission(f"x{place}") for place in range(500)], days=30)
    event.remove(ledger.database.engine, "connect", full)
    ledger.database.close()
    assert ledger.head == before
    ledger.verify()
    assert ledger.submit(submission("s2"), days=30).request == 2


def test_a_rule_is_kept_sealed_and_what_it_chooses_is_entered_once(ledger: Ledger, tmp_path: Path) -> None:
    ledger.submit(submission(rule="where:name == 'Ann Example'"), days=30)
    lease = ledger.claim()
    assert lease is not None
    ledger.resolve(lease, 1, [KEY.of("sample", "s1")])
    ledger.resolve(lease, 1, [KEY.of("sample", "s2")])  # as a worker does that takes over
    assert ledger.asked_by(1) == [KEY.of("sample", "s1")]
    ledger.finish(lease, {1: Outcome("done")})
    ledger.verify()
    ledger.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert b"Ann Example" not in stored


def test_several_workers_share_the_requests_and_none_is_done_twice(address: str) -> None:
    check_workers(address, workers=3, each=10)


@pytest.mark.slow
def test_eight_workers_and_eight_thousand_requests(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The rate at which eight processes submit a thousand requests each; on SQLite it is at least 200 a second."""
    rate = check_workers(address, workers=8, each=1000)
    with capsys.disabled():
        sys.stdout.write(f"\n{address.partition(':')[0]}: {rate:.0f} submissions a second\n")
    if address.startswith("sqlite"):
        assert rate >= 200


def check_workers(address: str, *, workers: int, each: int) -> float:
    Ledger.create(address).close()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        times = pool.starmap(submit_many, [(number, address, each) for number in range(workers)])
        shares = pool.starmap(take_all, [(number, address) for number in range(workers)])
    rate = workers * each / (max(end for _, end in times) - min(begin for begin, _ in times))
    taken = [number for share in shares for number in share]
    ledger = Ledger.open(address)
    assert Counter(taken) == dict.fromkeys(range(1, workers * each + 1), 1)
    assert ledger.totals == {"pending": 0, "running": 0, "done": workers * each, "failed": 0}
    done = Counter(event.request for event in ledger.events() if event.kind == "done")
    assert done == dict.fromkeys(range(1, workers * each + 1), 1)
    ledger.verify()
    ledger.close()
    return rate


def test_a_ledger_of_another_version_or_none_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="expected a ledger, got no file"):
        Ledger.open(url)
    assert not (tmp_path / "ledger.db").exists()
    Ledger.create(url).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(LedgerError, match="expected a ledger of version 0001, got 9999"):
        Ledger.open(url)
    with pytest.raises(LedgerError, match="expected a ledger of this version or before"):
        Ledger.create(url)
    with pytest.raises(LedgerError, match="expected a ledger at sqlite:///FILE or postgresql://…, got 'mysql'"):
        Ledger.open("mysql://here/x")
