"""A ledger: requests are submitted, taken by workers under a lease, and finished, each exactly once.

What changes the state of a request, and the entry that says so, are one transaction.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from obliviate.errors import LedgerError
from obliviate.ledger import transitions
from obliviate.ledger.chain import Chain, Event, Head, read_events, read_head
from obliviate.ledger.check import check
from obliviate.ledger.database import Database
from obliviate.ledger.names import Match, Name, Sample, chunks, digest_of, look_up, read_samples
from obliviate.ledger.records import (
    Lease,
    Outcome,
    Promotion,
    Queued,
    Receipt,
    Submission,
    event_of,
    promotion_of,
    request_of,
)
from obliviate.ledger.tables import STATES, asked, batches, events, leases, promotions, requests, samples, totals
from obliviate.ledger.workers import here


@dataclass(frozen=True, eq=False)
class Ledger:
    """The ledger in a database; `clock` tells the time, in seconds since 1970.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> ledger = Ledger.create(f"sqlite:///{folder.name}/ledger.db")
    >>> ledger.submit(Submission("ids", key="a" * 64, samples=("5f" * 32,)), days=30)
    Receipt(request=1, state='pending', new=True, forgotten=False)
    >>> lease = ledger.claim()
    >>> ledger.finish(lease, {1: Outcome("done")})
    >>> ledger.totals
    {'pending': 0, 'running': 0, 'done': 1, 'failed': 0}
    >>> ledger.close(); folder.cleanup()
    """

    database: Database
    clock: Callable[[], float] = time.time

    @classmethod
    def create(cls, url: str, *, clock: Callable[[], float] = time.time) -> Ledger:
        """Make a ledger, or bring one to the newest version, and open it."""
        database = Database.at(url)
        database.create()
        return cls(database, clock)

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], float] = time.time) -> Ledger:
        """Open a ledger at "sqlite:///FILE" or "postgresql://…"; raises LedgerError where there is none."""
        database = Database.at(url)
        database.check_version()
        return cls(database, clock)

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    @contextmanager
    def _changing(self) -> Iterator[tuple[Connection, Chain]]:
        """A transaction and what it adds to the history; writers take turns from here on."""
        with self.database.writing() as connection:
            chain = Chain(connection, self.clock)
            yield connection, chain
            chain.close()

    # ------------------------------------------------------------------------------------------- samples

    def index(self, rows: Iterable[Sample], *, data_sha256: str) -> None:
        """Enter every sample of the data; nothing changes where they are there already.

        Raises LedgerError where others are there: a ledger is of one set of data.
        """
        ordered = sorted(rows, key=lambda row: row.sample)
        count, digest = digest_of(ordered)
        with self._changing() as (connection, chain):
            if connection.execute(select(samples.c.sample).limit(1)).first() is not None:
                if digest_of(read_samples(connection)) != (count, digest):
                    raise LedgerError(
                        "expected the samples that this ledger was begun with, got others; restore the data, or begin "
                        "in a new folder"
                    )
                return
            for part in chunks(ordered, 5000):
                connection.execute(insert(samples), [vars(row) for row in part])
            chain.add("indexed", samples=count, samples_sha256=digest, data_sha256=data_sha256)

    def look_up(self, kind: Literal["ids", "owners"], names: Sequence[Name]) -> list[Match]:
        """Find names among the samples or the owners (`names.look_up`)."""
        with self.database.reading() as connection:
            return look_up(connection, kind, names)

    @property
    def indexed(self) -> bool:
        """Whether the samples of the data are known."""
        with self.database.reading() as connection:
            return connection.execute(select(samples.c.sample).limit(1)).first() is not None

    # ------------------------------------------------------------------------------------------- the queue

    def submit(self, submission: Submission, *, days: float) -> Receipt:
        """Enter a request, which is due in so many days, or find it as it is."""
        return self.submit_all([submission], days=days)[0]

    def submit_all(self, submissions: Sequence[Submission], *, days: float) -> list[Receipt]:
        """Enter requests, all or none of them; those that are there already are found as they are.

        Raises LedgerError for a key that another request has.
        """
        with self._changing() as (connection, chain):
            return [transitions.enter(connection, chain, submission, days) for submission in submissions]

    def claim(
        self, *, most: int = 1, alone: bool = False, seconds: float = 60, attempts: int = 5, worker: str = ""
    ) -> Lease | None:
        """Take a batch that nobody works on, of up to `most` requests; None where there is nothing to do.

        A batch whose worker has ended, or has not been heard of for so many `seconds`, goes first, with the requests
        that it has; after as many `attempts` it fails. `alone` begins no batch while another one runs.
        """
        worker = worker or here()
        while True:
            with self._changing() as (connection, chain):
                batch = transitions.abandoned(connection, self.clock())
                if batch is not None and batch.attempts >= attempts:
                    outcomes = dict.fromkeys(
                        transitions.running_in(connection, batch.number), Outcome("failed", {"reason": "tries"})
                    )
                    transitions.finish(connection, chain, batch.number, outcomes)
                    continue
                if batch is None:
                    number, attempt = transitions.begin(connection, chain, most, alone=alone), 1
                    if number is None:
                        return None
                else:
                    number, attempt = batch.number, batch.attempts + 1
                    chain.add("taken over", batch=number, attempt=attempt)
                    connection.execute(update(batches).where(batches.c.number == number).values(attempts=attempt))
                token = secrets.token_hex(16)
                connection.execute(delete(leases).where(leases.c.batch == number))
                connection.execute(
                    insert(leases).values(
                        batch=number, worker=worker, token=token, granted=self.clock(), seconds=float(seconds)
                    )
                )
                mine = transitions.queued(connection, and_(requests.c.batch == number, requests.c.state == "running"))
                return Lease(number, tuple(mine), token, attempt)

    def beat(self, lease: Lease) -> None:
        """Say that the work goes on; raises LedgerError where another worker has the batch."""
        with self.database.writing() as connection:
            transitions.check_lease(connection, lease)
            connection.execute(update(leases).where(leases.c.batch == lease.batch).values(granted=self.clock()))

    def release(self, lease: Lease) -> None:
        """Give a batch back as it is, for the next worker to go on with."""
        with self.database.writing() as connection:
            connection.execute(delete(leases).where(leases.c.batch == lease.batch, leases.c.token == lease.token))

    def note(self, lease: Lease, kind: str, **facts: Any) -> None:
        """Enter what happened to a batch on the way, once; raises LedgerError where another worker has it."""
        with self._changing() as (connection, chain):
            transitions.check_lease(connection, lease)
            chain.add(kind, batch=lease.batch, **facts)

    def resolve(self, lease: Lease, request: int, chosen: Sequence[str]) -> None:
        """Enter the samples that a rule has chosen, once; raises LedgerError where another worker has the batch."""
        with self._changing() as (connection, chain):
            transitions.check_lease(connection, lease)
            if connection.execute(select(asked.c.request).where(asked.c.request == request).limit(1)).first() is None:
                transitions.ask(connection, request, "sample", chosen)
                chain.add("resolved", request=request, batch=lease.batch, asked_sha256=transitions.digest(chosen, ()))

    def finish(self, lease: Lease, outcomes: Mapping[int, Outcome], *, promote: Promotion | None = None) -> None:
        """End a batch: what became of each of its requests, and which model serves from now on.

        What its done requests are for is forgotten. Raises LedgerError where another worker has the batch, or an
        outcome is missing.
        """
        with self._changing() as (connection, chain):
            transitions.check_lease(connection, lease)
            if set(outcomes) != (expected := {request.number for request in lease.requests}):
                raise LedgerError(
                    f"expected an outcome of each of the requests {sorted(expected)}, got {sorted(outcomes)}; give all"
                )
            transitions.finish(connection, chain, lease.batch, outcomes)
            if promote is not None:
                transitions.promote(connection, chain, promote)

    def retry(self) -> list[int]:
        """Have what failed worked on again; returns the numbers of the requests.

        A batch that failed as a whole goes on as it is, since something may have been made for it; what failed alone
        waits for a new batch.
        """
        with self._changing() as (connection, chain):
            query = (
                select(requests.c.number, requests.c.batch, batches.c.state)
                .join(batches, batches.c.number == requests.c.batch)
                .where(requests.c.state == "failed")
                .order_by(requests.c.number)
            )
            rows = [tuple(row) for row in connection.execute(query)]
            whole = sorted({batch for _, batch, state in rows if state == "failed"})
            for number, batch, state in rows:
                chain.add("retried", request=number, batch=batch if state == "failed" else None)
            for part in chunks(whole):
                connection.execute(
                    update(batches).where(batches.c.number.in_(part)).values(state="running", attempts=0)
                )
            transitions.move(
                connection, "failed", "running", [number for number, _, state in rows if state == "failed"]
            )
            alone = [number for number, _, state in rows if state != "failed"]
            transitions.move(connection, "failed", "pending", alone, batch=None)
            return [number for number, _, _ in rows]

    # ------------------------------------------------------------------------------------------- what serves

    def promote(self, promotion: Promotion, *, why: str = "promoted") -> Promotion:
        """Have a model serve; `why` is "promoted" or "rolled back"."""
        with self._changing() as (connection, chain):
            return transitions.promote(connection, chain, promotion, why)

    def begin_serving(self, promotion: Promotion, **facts: Any) -> None:
        """Have the original serve, and enter how it was trained, unless a model serves already."""
        with self._changing() as (connection, chain):
            if connection.execute(select(promotions.c.event).limit(1)).first() is None:
                chain.add("trained", weights_sha256=promotion.weights_sha256, **facts)
                transitions.promote(connection, chain, promotion)

    def tip(self) -> Promotion:
        """The model that has forgotten most, from which the next batch begins, whether or not it serves now.

        Raises LedgerError before the first.
        """
        with self.database.reading() as connection:
            query = select(promotions).order_by(promotions.c.batch.desc(), promotions.c.event.desc()).limit(1)
            row = connection.execute(query).first()
        if row is None:
            raise LedgerError("expected a model that serves, got none; run `obliviate work`")
        return promotion_of(row)

    def promotions(self, most: int = 100) -> list[Promotion]:
        """The models that served, the last first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(promotions).order_by(promotions.c.event.desc()).limit(most))
            return [promotion_of(row) for row in rows]

    @property
    def serving(self) -> Promotion | None:
        """The model that serves, None before the first."""
        return next(iter(self.promotions(1)), None)

    # ------------------------------------------------------------------------------------------- how things stand

    @property
    def totals(self) -> dict[str, int]:
        """How many requests are in each state."""
        with self.database.reading() as connection:
            counts = {row.state: row.requests for row in connection.execute(select(totals))}
        return {state: counts[state] for state in STATES}

    @property
    def head(self) -> Head:
        """The end of the history."""
        with self.database.reading() as connection:
            return read_head(connection)

    def request(self, number: int) -> Queued:
        """A request; raises LedgerError for a number that none has."""
        with self.database.reading() as connection:
            queued = transitions.queued(connection, requests.c.number == number)
        if not queued:
            raise LedgerError(f"expected the number of a request, got {number}; `obliviate status` lists them")
        return queued[0]

    def latest(self, most: int = 20) -> list[Queued]:
        """The last requests, the newest first."""
        return self.page(most)

    def page(self, most: int = 20, *, before: int | None = None, state: str | None = None) -> list[Queued]:
        """Requests with numbers below `before`, of one state or of any, the newest first."""
        conditions = [requests.c.number < before] if before is not None else []
        conditions += [requests.c.state == state] if state is not None else []
        with self.database.reading() as connection:
            return transitions.queued(connection, and_(*conditions) if conditions else None, newest=most)

    def open_until(self, when: float, most: int = 1000) -> list[Queued]:
        """Requests that are due by then and not done, the earliest first."""
        with self.database.reading() as connection:
            waiting = requests.c.state.in_(["pending", "running", "failed"])
            query = select(requests).where(waiting, requests.c.due <= when).order_by(requests.c.due).limit(most)
            return [request_of(row) for row in connection.execute(query)]

    def asked_by(self, request: int, kind: Literal["sample", "owner"] = "sample") -> list[str]:
        """The pseudonyms of the samples or the owners that a request is for."""
        with self.database.reading() as connection:
            return transitions.asked_by(connection, request, kind)

    def done_after(self, batch: int, most: int = 1000) -> list[int]:
        """The numbers of requests that are done and that a model which has forgotten up to `batch` still knows."""
        with self.database.reading() as connection:
            query = select(requests.c.number).where(requests.c.state == "done", requests.c.batch > batch)
            return list(connection.scalars(query.order_by(requests.c.number).limit(most)))

    def running(self) -> list[tuple[int, str]]:
        """The batches that are worked on, and by whom."""
        with self.database.reading() as connection:
            query = (
                select(batches.c.number, func.coalesce(leases.c.worker, ""))
                .outerjoin(leases, leases.c.batch == batches.c.number)
                .where(batches.c.state == "running")
            )
            return [(row[0], row[1]) for row in connection.execute(query.order_by(batches.c.number))]

    def events(self, *, after: int = 0) -> Iterator[Event]:
        """The history behind the entry of this number, every entry checked as it is read."""
        with self.database.reading() as connection:
            yield from read_events(connection, after=after)

    def sealed_of(self, key: str) -> str | None:
        """The sealed text of the request with this key, None where there is none."""
        with self.database.reading() as connection:
            return connection.scalar(select(requests.c.sealed).where(requests.c.key == key))

    def record(self, kind: str, **facts: Any) -> None:
        """Enter something that is about no request."""
        with self._changing() as (_, chain):
            chain.add(kind, **facts)

    def of_kind(self, kind: str) -> list[Event]:
        """All entries of one kind; for kinds of which there are few."""
        with self.database.reading() as connection:
            query = select(events).where(events.c.kind == kind).order_by(events.c.number)
            return [event_of(row) for row in connection.execute(query)]

    def of_request(self, request: int) -> list[Event]:
        """The entries on a request, in their order."""
        with self.database.reading() as connection:
            query = select(events).where(events.c.request == request).order_by(events.c.number)
            return [event_of(row) for row in connection.execute(query)]

    def of_batch(self, batch: int, kind: str) -> list[Event]:
        """The entries of one kind on a batch."""
        with self.database.reading() as connection:
            query = select(events).where(events.c.batch == batch, events.c.kind == kind).order_by(events.c.number)
            return [event_of(row) for row in connection.execute(query)]

    def verify(self) -> Head:
        """Check every entry, and that all else follows from them; returns the end of the history.

        Raises LedgerError for the first thing that is not as it was written. Memory does not grow with the requests.
        """
        with self.database.reading() as connection:
            return check(connection)
