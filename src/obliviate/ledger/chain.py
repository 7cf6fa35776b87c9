"""The history: entries of which every one holds the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from obliviate.errors import LedgerError
from obliviate.ledger.tables import events, head

CHUNK = 1000


@dataclass(frozen=True)
class Head:
    """The end of the chain: its last entry, and how many requests and batches there are."""

    events: int
    requests: int
    batches: int
    time: float
    sha256: str


@dataclass(frozen=True)
class Event:
    """An entry: what happened (`kind`), when (seconds since 1970, UTC), to which request or batch, and its facts."""

    number: int
    time: float
    kind: str
    request: int | None
    batch: int | None
    facts: Mapping[str, Any]
    sha256: str


def read_head(connection: Connection) -> Head:
    """The end of the chain, without waiting for writers; raises LedgerError for a ledger without one."""
    return _head(connection, lock=False)


def take_head(connection: Connection) -> Head:
    """The end of the chain, which is this writer's until its transaction ends."""
    return _head(connection, lock=True)


def _head(connection: Connection, *, lock: bool) -> Head:
    columns = (head.c.events, head.c.requests, head.c.batches, head.c.time, head.c.sha256)
    query = select(*columns).where(head.c.id == 1)
    row = connection.execute(query.with_for_update() if lock else query).first()  # which SQLite does not know or need
    if row is None:
        raise LedgerError("expected a ledger with an end of its chain, got none; it was damaged: restore it")
    return Head(*row)


def canonical(facts: Mapping[str, Any]) -> str:
    """Facts as a text that is the same whoever writes it."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def seal(before: str, number: int, time: float, kind: str, request: int | None, batch: int | None, facts: str) -> str:
    """The hash of an entry after the one with the hash `before`.

    >>> seal("", 1, 0.0, "begun", None, None, "{}")[:12]
    '4b92dfcf398f'
    """
    text = json.dumps([before, number, time, kind, request, batch, facts], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Chain:
    """What one transaction adds to the history, entry by entry; `close` writes it, and the new end.

    Entries never go back in time, whatever the clock does: one that says less than the last is given the last's.
    """

    def __init__(self, connection: Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._head = take_head(connection)
        self.time = max(round(clock(), 3), self._head.time)  # after the wait for other writers
        self.requests, self.batches = self._head.requests, self._head.batches
        self._number, self._sha256 = self._head.events, self._head.sha256
        self._rows: list[dict[str, Any]] = []

    def add(self, kind: str, *, request: int | None = None, batch: int | None = None, **facts: Any) -> int:
        """Add an entry and return its number."""
        self._number += 1
        text = canonical(facts)
        self._sha256 = seal(self._sha256, self._number, self.time, kind, request, batch, text)
        self._rows.append(
            {
                "number": self._number,
                "time": self.time,
                "kind": kind,
                "request": request,
                "batch": batch,
                "facts": text,
                "sha256": self._sha256,
            }
        )
        return self._number

    def close(self) -> None:
        """Write what was added."""
        if not self._rows:
            return
        self._connection.execute(insert(events), self._rows)
        self._connection.execute(
            update(head)
            .where(head.c.id == 1)
            .values(
                events=self._number,
                requests=self.requests,
                batches=self.batches,
                time=self.time,
                sha256=self._sha256,
            )
        )


def read_events(connection: Connection, *, after: int = 0) -> Iterator[Event]:
    """Every entry behind the one of number `after`, checked; raises LedgerError where one is not as it was written.

    A few are in memory at a time. That the last one is the end of the chain is checked too.
    """
    before, time, number = "", 0.0, after
    if after:
        row = connection.execute(select(events.c.sha256, events.c.time).where(events.c.number == after)).first()
        before, time = row or ("", 0.0)
    rows = connection.execution_options(yield_per=CHUNK).execute(
        select(events).where(events.c.number > after).order_by(events.c.number)
    )
    for row in rows:
        number += 1
        expected = seal(before, number, row.time, row.kind, row.request, row.batch, row.facts)
        if row.number != number or row.sha256 != expected or row.time < time:
            raise LedgerError(
                f"expected entry {number} of the ledger as it was written, got another; it was changed, taken out or "
                "put in: restore the ledger from a copy"
            )
        before, time = row.sha256, row.time
        yield Event(number, row.time, row.kind, row.request, row.batch, json.loads(row.facts), row.sha256)
    end = read_head(connection)
    if (end.events, end.sha256, end.time) != (number, before, time):
        raise LedgerError(
            f"expected {end.events} entries in the ledger, got {number} of which the last is not its end; entries are "
            "missing: restore the ledger from a copy"
        )
