"""The log of events: appended to, never changed unnoticed, whole after a crash."""

import json
import logging
from pathlib import Path

import pytest

from obliviate.errors import WorkspaceError
from obliviate.requests import EventLog


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    log = EventLog(tmp_path / "events.jsonl")
    for number in (1, 2, 3):
        log.append("asked", request=number, rule=f"class {number}")
    return log


def test_events_are_read_in_order_with_their_facts(log: EventLog) -> None:
    assert [(event.kind, event.facts) for event in log.events] == [
        ("asked", {"request": number, "rule": f"class {number}"}) for number in (1, 2, 3)
    ]
    assert all(event.time.endswith("+00:00") for event in log.events)


def test_appending_leaves_what_is_there_as_it_is(log: EventLog) -> None:
    before = log.path.read_bytes()
    log.append("made", model="1-amun")
    assert log.path.read_bytes().startswith(before)


def test_without_a_file_there_are_no_events(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "events.jsonl").events == []


def lines(log: EventLog) -> list[str]:
    return log.path.read_text("utf-8").splitlines(keepends=True)


@pytest.mark.parametrize("number", [1, 2])
def test_a_line_that_was_taken_out_edited_or_moved_is_told(log: EventLog, number: int) -> None:
    first, second, third = lines(log)
    edited = second.replace("class 2", "class 7")
    for content in ([second, third], [first, third], [first, edited, third], [second, first, third], [first, first]):
        log.path.write_text("".join(content), "utf-8")
        with pytest.raises(WorkspaceError, match=r"expected event \d of .*.jsonl as it was written, got another hash"):
            _ = log.events
        with pytest.raises(WorkspaceError, match="restore it, or move it away and a new one begins"):
            log.append("made", model="1-amun")


def test_a_line_that_was_sealed_again_is_is_known_of_the_next(log: EventLog) -> None:
    forged = EventLog(log.path.with_name("forged.jsonl"))
    forged.append("asked", request=7)
    log.path.write_text("".join([*lines(forged), *lines(log)[1:]]), "utf-8")
    with pytest.raises(WorkspaceError, match="expected event 2 of "):
        _ = log.events


@pytest.mark.parametrize("content", ["nonsense\n", "[]\n", "{}\n", "\xff\n", json.dumps({"sha256": 1}) + "\n"])
def test_what_is_no_log_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "events.jsonl").write_bytes(content.encode("latin-1"))
    with pytest.raises(WorkspaceError, match="expected event 1 of "):
        _ = EventLog(tmp_path / "events.jsonl").events


def test_a_line_that_was_cut_short_is_no_event_and_is_dropped_with_the_next(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    whole, third = "".join(lines(log)[:2]), lines(log)[2]
    for length in (1, 20, len(third) - 1):
        log.path.write_text(whole + third[:length], "utf-8")
        assert len(log.events) == 2
    with caplog.at_level(logging.WARNING):
        log.append("made", model="1-amun")
    assert f"the last {length} bytes of {log.path} were cut short by a crash and are dropped" in caplog.text
    assert [event.kind for event in log.events] == ["asked", "asked", "made"]
