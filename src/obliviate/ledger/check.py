"""Whether a ledger is as it was written: its history, and everything else, which follows from that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NoReturn

from sqlalchemy import Connection, func, select, text

from obliviate.errors import LedgerError
from obliviate.ledger.chain import CHUNK, Head, read_events, read_head
from obliviate.ledger.names import digest_of, read_samples
from obliviate.ledger.tables import METADATA, STATES, asked, batches, events, promotions, requests, samples, totals

Step = tuple[str, int | None, float, dict[str, Any]]
"""An entry on a request: its kind, its batch, its time and its facts."""


def check(connection: Connection) -> Head:
    """Read the whole ledger, a few rows at a time, and compare; raises LedgerError for what does not fit."""
    try:
        return _check(connection)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, LedgerError):
            raise
        _refuse(f"values as they were written, got others ({type(error).__name__})")  # a number for a text, say


def _check(connection: Connection) -> Head:
    if connection.dialect.name == "sqlite":
        problems = connection.execute(text("PRAGMA integrity_check(1)")).scalars().all()
        if problems != ["ok"]:
            _refuse(f"a whole database, got {problems[0]}")
    for table in METADATA.sorted_tables:  # the history says nothing of leases, and yet they are to be read
        connection.execute(select(table).limit(1)).all()
    head = read_head(connection)
    index: tuple[int, str] | None = None
    submitted = started = 0
    promoted: list[tuple[Any, ...]] = []
    for event in read_events(connection):
        match event.kind:
            case "indexed":
                index = event.facts["samples"], event.facts["samples_sha256"]
            case "submitted":
                submitted += 1
            case "started":
                started = max(started, event.batch or 0)
            case "promoted" | "rolled back":
                names = ("model", "file", "file_sha256", "weights_sha256")
                promoted.append((event.number, *(event.facts[name] for name in names), event.batch))
    if (head.requests, head.batches) != (submitted, started):
        _refuse(f"{submitted} requests in {started} batches, got {head.requests} in {head.batches}")
    _check_samples(connection, index)
    _check_requests(connection, head)
    _check_batches(connection, head)
    if [tuple(row) for row in connection.execute(select(promotions).order_by(promotions.c.event))] != promoted:
        _refuse("the models that served as the history has them, got others")
    return head


def _refuse(what: str) -> NoReturn:
    raise LedgerError(f"expected {what}; the ledger was changed or damaged: restore it from a copy")


def _check_samples(connection: Connection, index: tuple[int, str] | None) -> None:
    if digest_of(read_samples(connection)) != (index or (0, hashlib.sha256().hexdigest())):
        _refuse("the samples that were entered, got others")
    done = (
        select(asked.c.pseudonym, func.min(requests.c.batch).label("batch"))
        .join(requests, requests.c.number == asked.c.request)
        .where(asked.c.kind == "sample", requests.c.state == "done")
        .group_by(asked.c.pseudonym)
        .subquery()
    )
    wrong = (
        select(samples.c.sample)
        .outerjoin(done, done.c.pseudonym == samples.c.sample)
        .where(func.coalesce(samples.c.batch, 0) != func.coalesce(done.c.batch, 0))
    )
    if connection.execute(wrong.limit(1)).first() is not None:
        _refuse("samples that were forgotten by the batches that say so, got one by another")


def _check_requests(connection: Connection, head: Head) -> None:
    """Compare every request with its entries, all in the order of their numbers."""
    history, digests = _history(connection), _digests(connection)
    steps_of, digest_of_next = next(history, None), next(digests, None)
    counts = dict.fromkeys(STATES, 0)
    number = 0
    for row in connection.execution_options(yield_per=CHUNK).execute(select(requests).order_by(requests.c.number)):
        number += 1
        if steps_of is None or (row.number, steps_of[0]) != (number, number):
            _refuse(f"request {number} with its history, got another")
        digest = hashlib.sha256().hexdigest()
        if digest_of_next is not None and digest_of_next[0] == number:
            digest = digest_of_next[1]
            digest_of_next = next(digests, None)
        _check_request(row, steps_of[1], digest)
        counts[row.state] += 1
        steps_of = next(history, None)
    if number != head.requests or (steps_of, digest_of_next) != (None, None):
        _refuse(f"{head.requests} requests, got {number}, or entries on others")
    if {row.state: row.requests for row in connection.execute(select(totals))} != counts:
        _refuse(f"the totals {counts}, got others")


def _history(connection: Connection) -> Iterator[tuple[int, list[Step]]]:
    """The entries of every request, request by request."""
    query = (
        select(events.c.request, events.c.kind, events.c.batch, events.c.time, events.c.facts)
        .where(events.c.request.is_not(None))
        .order_by(events.c.request, events.c.number)
    )
    rows = connection.execution_options(yield_per=CHUNK).execute(query)
    for request, of_request in groupby(rows, key=lambda row: row.request):
        yield request, [(row.kind, row.batch, row.time, json.loads(row.facts)) for row in of_request]


def _digests(connection: Connection) -> Iterator[tuple[int, str]]:
    """The hash of what every request asks for, of those that name samples or owners."""
    rows = connection.execution_options(yield_per=CHUNK).execute(
        select(asked).order_by(asked.c.request, asked.c.kind, asked.c.pseudonym)
    )
    for request, of_request in groupby(rows, key=lambda row: row.request):
        lines = [f"{row.kind} {row.pseudonym}" for row in of_request]
        yield request, hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_request(row: Any, steps: list[Step], digest: str) -> None:
    kind, _, time, submitted = steps[0]
    if kind != "submitted":
        _refuse(f"request {row.number} to be submitted first, got {kind}")
    sealed = None if row.sealed is None else hashlib.sha256(row.sealed.encode()).hexdigest()
    state, batch, wanted = "pending", None, submitted["asked_sha256"]
    for kind, of_batch, _, facts in steps[1:]:
        match kind:
            case "started":
                state, batch = "running", of_batch
            case "retried":
                state, batch = ("pending", None) if of_batch is None else ("running", of_batch)
            case "resolved":
                wanted = facts["asked_sha256"]
            case _:
                state = kind
    is_as_written = (
        (row.state, row.batch, sealed) == (state, batch, submitted["sealed_sha256"])
        and (row.kind, row.key, row.content) == (submitted["asks"], submitted["key"], submitted["content"])
        and (row.submitted, row.due) == (time, submitted["due"])
        and json.loads(row.counts) == submitted["counts"]
        and digest == wanted
    )
    if not is_as_written:
        _refuse(f"request {row.number} as its history has it, got another")


def _check_batches(connection: Connection, head: Head) -> None:
    """Compare every batch with its entries."""
    query = (
        select(events.c.batch, events.c.kind, events.c.facts)
        .where(events.c.kind.in_(["started", "taken over", "retried", "done", "failed"]), events.c.batch.is_not(None))
        .order_by(events.c.batch, events.c.number)
    )
    history = groupby(connection.execution_options(yield_per=CHUNK).execute(query), key=lambda row: row.batch)
    number = 0
    for row in connection.execution_options(yield_per=CHUNK).execute(select(batches).order_by(batches.c.number)):
        number += 1
        batch, of_batch = next(history, (None, iter(())))
        state, attempts = "running", 1
        for entry in of_batch:
            match entry.kind:
                case "taken over":
                    attempts = json.loads(entry.facts)["attempt"]
                case "retried":
                    state, attempts = "running", 0
                case "done" | "failed":
                    state = "done" if "done" in (state, entry.kind) else "failed"
        if (row.number, batch, row.state, row.attempts) != (number, number, state, attempts):
            _refuse(f"batch {number} as its history has it, got another")
    if number != head.batches:
        _refuse(f"{head.batches} batches, got {number}")
