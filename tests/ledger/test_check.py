"""Whatever is changed in a ledger, its check finds it, or nothing that it says has changed."""

import gc
import hashlib
import resource
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, create_engine, insert, update

from ledger_support import KEY, submission
from obliviate.errors import LedgerError
from obliviate.ledger import Ledger, Outcome, Promotion
from obliviate.ledger.chain import canonical
from obliviate.ledger.database import Database
from obliviate.ledger.tables import asked, requests, totals


@pytest.fixture
def used(ledger: Ledger, tmp_path: Path) -> Path:
    """The file of a small ledger with everything in it, which nobody has open."""
    ledger.submit(submission("s1", "s2"), days=30)
    ledger.submit(submission(rule="class:1"), days=30)
    ledger.submit(submission("s3"), days=30)
    lease = ledger.claim(most=2)
    assert lease is not None
    ledger.resolve(lease, 2, [KEY.of("sample", "s4")])
    ledger.note(lease, "judged", verdict="leaks")
    ledger.finish(
        lease,
        {1: Outcome("done", {"certificate_sha256": "c" * 64}), 2: Outcome("failed", {"reason": "DataError"})},
        promote=Promotion("1-amun", "run/models/1-amun.safetensors", "a" * 64, "b" * 64, 1),
    )
    ledger.verify()
    ledger.close()
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("journal_mode=DELETE", "page_size=512"):  # small pages, so that few bytes are not in use
            connection.execute(f"PRAGMA {statement}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode=WAL")
    return path


def tables(path: Path) -> list[str]:
    """The tables of a whole file. Of a changed one SQLite may list them otherwise, and read them all the same."""
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def contents(path: Path, names: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of these tables, texts as bytes, for what was changed may be none."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return {name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr) for name in names}


def is_found(ledger: Ledger) -> bool:
    """Whether opening or checking the file of a ledger refuses it, in our words."""
    try:
        ledger.database.check_version()
        ledger.verify()
    except LedgerError:
        return True
    finally:
        ledger.database.close()
    return False


def at(path: Path) -> Ledger:
    """The ledger in a file, whatever is in it."""
    return Ledger(Database.at(f"sqlite:///{path}"))


def check_flips(path: Path, places: range) -> int:
    """Flip a bit of every byte; returns how many flips changed nothing that the ledger says."""
    content, names, ledger = path.read_bytes(), tables(path), at(path)
    before = contents(path, names)
    harmless = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        if not is_found(ledger):
            after = contents(path, names)
            changed = [name for name in names if after[name] != before[name]]
            assert not changed, f"byte {place} changed the rows of {changed}, and was not found"
            harmless += 1
    path.write_bytes(content)
    return harmless


def test_changed_bytes_are_found_or_change_nothing(used: Path) -> None:
    size = len(used.read_bytes())
    harmless = check_flips(used, range(0, size, 151))
    assert harmless < size / 151


@pytest.mark.slow
def test_every_changed_byte_is_found_or_changes_nothing(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = len(used.read_bytes())
    harmless = check_flips(used, range(size))
    with capsys.disabled():
        sys.stdout.write(f"\n{size} bytes: {size - harmless} flips were found, {harmless} changed nothing\n")


CHANGES = {
    "an entry changed": "UPDATE events SET facts = replace(facts, 'leaks', 'consistent') WHERE kind = 'judged'",
    "an entry taken out": "DELETE FROM events WHERE kind = 'judged'",
    "the last entry taken out": "DELETE FROM events WHERE number = (SELECT max(number) FROM events)",
    "a time set back": "UPDATE events SET time = 0 WHERE number = 3",
    "a request done": "UPDATE requests SET state = 'done' WHERE number = 3",
    "a request due later": "UPDATE requests SET due = due + 86400 WHERE number = 3",
    "a request taken out": "DELETE FROM requests WHERE number = 3",
    "another key": "UPDATE requests SET key = 'k' WHERE number = 3",
    "another sample asked": f"UPDATE asked SET pseudonym = '{'0' * 64}' WHERE request = 3",
    "a sample more": f"INSERT INTO asked VALUES (3, 'sample', '{'0' * 64}')",
    "another text": "UPDATE requests SET sealed = 'x' WHERE number = 2",
    "other counts": "UPDATE requests SET counts = '{}' WHERE number = 1",
    "a sample of others": "UPDATE samples SET owner = ''",
    "a sample remembered": "UPDATE samples SET batch = NULL WHERE batch IS NOT NULL",
    "a sample forgotten": "UPDATE samples SET batch = 1",
    "another total": "UPDATE totals SET requests = requests + 1 WHERE state = 'done'",
    "another batch": "UPDATE batches SET attempts = 7",
    "another model": "UPDATE promotions SET file_sha256 = 'x'",
    "a model more": "INSERT INTO promotions VALUES (99, 'm', 'f', 'x', 'y', 1)",
    "another end": "UPDATE head SET sha256 = 'x'",
    "more requests": "UPDATE head SET requests = 9",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_by_hand_is_found(used: Path, change: str) -> None:
    assert not is_found(at(used))
    with closing(sqlite3.connect(used)) as connection, connection:
        assert connection.execute(CHANGES[change]).rowcount > 0
    assert is_found(at(used))


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database at all, but a text that is long enough to be one" * 100)
    assert is_found(at(path))
    path.write_bytes(b"")
    assert is_found(at(path))


def test_the_migrations_make_the_tables_that_are_read_and_written(url: str) -> None:
    from obliviate.ledger.tables import METADATA

    Ledger.create(url).close()
    engine, reflected = create_engine(url), MetaData()
    reflected.reflect(engine)
    engine.dispose()
    assert set(reflected.tables) == {*METADATA.tables, "alembic_version"}
    for name, table in METADATA.tables.items():
        assert shape(reflected.tables[name]) == shape(table)
        assert {index.name for index in reflected.tables[name].indexes} == {index.name for index in table.indexes}


def shape(table: Table) -> dict[str, tuple[bool, bool]]:
    """The columns of a table: which may be empty, which are its key."""
    return {column.name: (bool(column.nullable), column.primary_key) for column in table.columns}


def seconds_of(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def fill(ledger: Ledger, count: int) -> None:
    """Enter requests as `submit` does, thousands in a statement; `verify` would find any that is not like its own."""
    for start in range(0, count, 20_000):
        with ledger._changing() as (connection, chain):
            rows: list[dict[str, Any]] = []
            names: list[dict[str, Any]] = []
            for number in range(start + 1, min(start + 20_000, count) + 1):
                key = hashlib.sha256(str(number).encode()).hexdigest()
                due = round(chain.time + 30 * 86_400, 3)
                facts = {"key": key, "content": key, "counts": {"asked": 1}, "due": due}
                chain.add(
                    "submitted", request=number, asks="ids", sealed_sha256=None,
                    asked_sha256=hashlib.sha256(f"sample {key}".encode()).hexdigest(), **facts,
                )  # fmt: skip
                facts["counts"] = canonical({"asked": 1})
                rows.append({"number": number, "state": "pending", "kind": "ids", "submitted": chain.time, **facts})
                names.append({"request": number, "kind": "sample", "pseudonym": key})
            connection.execute(insert(requests), rows)
            connection.execute(insert(asked), names)
            added = {"requests": totals.c.requests + len(rows)}
            connection.execute(update(totals).where(totals.c.state == "pending").values(added))
            chain.requests += len(rows)


def check_large(url: str, count: int) -> tuple[float, float]:
    """Fill a ledger; returns the seconds that its status takes, and the megabytes by which memory grows."""
    ledger = Ledger.create(url)
    fill(ledger, count)

    def status() -> None:
        assert ledger.totals["pending"] == count
        assert ledger.latest(20)[0].number == count
        assert ledger.open_until(0.0) == []
        assert ledger.running() == []
        assert ledger.head.requests == count

    status()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = min(seconds_of(status) for _ in range(5))
    ledger.verify()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    ledger.close()
    return taken, grown


def test_the_status_of_many_requests_is_told_at_once(url: str) -> None:
    taken, _ = check_large(url, 1_000)
    assert taken < 0.1


@pytest.mark.slow
def test_the_status_of_a_million_requests_is_told_at_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    taken, grown = check_large(url, 1_000_000)
    with capsys.disabled():
        sys.stdout.write(f"\nstatus of 1,000,000 requests: {1000 * taken:.1f} ms; memory grew by {grown:.0f} MB\n")
    assert taken < 0.1
    assert grown < 64
