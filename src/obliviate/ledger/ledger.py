"""A ledger: requests are submitted, taken by workers under a lease, and finished, each exactly once.

What changes the state of a request, and the entry that says so, are one transaction.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from obliviate.errors import KeyTakenError, LedgerError
from obliviate.ledger.chain import Chain, Event, Head, canonical, read_events, read_head
from obliviate.ledger.check import check
from obliviate.ledger.database import Database
from obliviate.ledger.names import Match, Name, Sample, chunks, digest_of, look_up, read_samples
from obliviate.ledger.tables import STATES, asked, batches, events, leases, promotions, requests, samples, totals
from obliviate.ledger.workers import here, is_gone

Kind = Literal["ids", "owners", "rule"]
DAY: Final = 86_400


@dataclass(frozen=True)
class Submission:
    """What is asked for, all of it in pseudonyms: samples, and the owners whose they are, or a rule in a sealed text.

    The `key` tells one request from another: whoever submits it twice is given the first. `counts` are how many names
    came to what.
    """

    kind: Kind
    key: str
    samples: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    sealed: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """The hash of what is asked for."""
        lines = [self.kind, *sorted(self.samples), "", *sorted(self.owners), "", self.sealed or ""]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Receipt:
    """What was answered to a submission: the number and the state of its request, and whether that is new.

    `forgotten` says that nothing was left to do: an earlier request was for all of it, and is done.
    """

    request: int
    state: str
    new: bool
    forgotten: bool = False


@dataclass(frozen=True)
class Queued:
    """A request as it stands; times are in seconds since 1970, UTC."""

    number: int
    state: str
    kind: str
    sealed: str | None
    counts: Mapping[str, int]
    submitted: float
    due: float
    batch: int | None


@dataclass(frozen=True)
class Lease:
    """The right to work on a batch, until somebody else has it; `attempt` is 1 for the first worker."""

    batch: int
    requests: tuple[Queued, ...]
    token: str
    attempt: int


@dataclass(frozen=True)
class Outcome:
    """What became of a request: done or failed, and facts for the history."""

    state: Literal["done", "failed"]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Promotion:
    """A model that serves: its id, its file as seen from the project, hashes of both file and weights.

    `batch` is the last batch that it has forgotten, 0 for the original; `event` is the number of the entry.
    """

    model: str
    file: str
    file_sha256: str
    weights_sha256: str
    batch: int
    event: int = 0


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
            return [_submit(connection, chain, submission, days) for submission in submissions]

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
                batch = _abandoned(connection, self.clock())
                if batch is not None and batch.attempts >= attempts:
                    outcomes = dict.fromkeys(_numbers(connection, batch.number), Outcome("failed", {"reason": "tries"}))
                    _finish(connection, chain, batch.number, outcomes)
                    continue
                if batch is None:
                    number, attempt = _begin(connection, chain, most, alone=alone), 1
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
                mine = _queued(connection, and_(requests.c.batch == number, requests.c.state == "running"))
                return Lease(number, tuple(mine), token, attempt)

    def beat(self, lease: Lease) -> None:
        """Say that the work goes on; raises LedgerError where another worker has the batch."""
        with self.database.writing() as connection:
            _check(connection, lease)
            connection.execute(update(leases).where(leases.c.batch == lease.batch).values(granted=self.clock()))

    def release(self, lease: Lease) -> None:
        """Give a batch back as it is, for the next worker to go on with."""
        with self.database.writing() as connection:
            connection.execute(delete(leases).where(leases.c.batch == lease.batch, leases.c.token == lease.token))

    def note(self, lease: Lease, kind: str, **facts: Any) -> None:
        """Enter what happened to a batch on the way, once; raises LedgerError where another worker has it."""
        with self._changing() as (connection, chain):
            _check(connection, lease)
            chain.add(kind, batch=lease.batch, **facts)

    def resolve(self, lease: Lease, request: int, chosen: Sequence[str]) -> None:
        """Enter the samples that a rule has chosen, once; raises LedgerError where another worker has the batch."""
        with self._changing() as (connection, chain):
            _check(connection, lease)
            if connection.execute(select(asked.c.request).where(asked.c.request == request).limit(1)).first() is None:
                _ask(connection, request, "sample", chosen)
                chain.add("resolved", request=request, batch=lease.batch, asked_sha256=_digest(chosen, ()))

    def finish(self, lease: Lease, outcomes: Mapping[int, Outcome], *, promote: Promotion | None = None) -> None:
        """End a batch: what became of each of its requests, and which model serves from now on.

        What its done requests are for is forgotten. Raises LedgerError where another worker has the batch, or an
        outcome is missing.
        """
        with self._changing() as (connection, chain):
            _check(connection, lease)
            if set(outcomes) != (expected := {request.number for request in lease.requests}):
                raise LedgerError(
                    f"expected an outcome of each of the requests {sorted(expected)}, got {sorted(outcomes)}; give all"
                )
            _finish(connection, chain, lease.batch, outcomes)
            if promote is not None:
                _promote(connection, chain, promote)

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
            _move(connection, "failed", "running", [number for number, _, state in rows if state == "failed"])
            alone = [number for number, _, state in rows if state != "failed"]
            _move(connection, "failed", "pending", alone, batch=None)
            return [number for number, _, _ in rows]

    # ------------------------------------------------------------------------------------------- what serves

    def promote(self, promotion: Promotion, *, why: str = "promoted") -> Promotion:
        """Have a model serve; `why` is "promoted" or "rolled back"."""
        with self._changing() as (connection, chain):
            return _promote(connection, chain, promotion, why)

    def begin_serving(self, promotion: Promotion, **facts: Any) -> None:
        """Have the original serve, and enter how it was trained, unless a model serves already."""
        with self._changing() as (connection, chain):
            if connection.execute(select(promotions.c.event).limit(1)).first() is None:
                chain.add("trained", weights_sha256=promotion.weights_sha256, **facts)
                _promote(connection, chain, promotion)

    def tip(self) -> Promotion:
        """The model that has forgotten most, from which the next batch begins, whether or not it serves now.

        Raises LedgerError before the first.
        """
        with self.database.reading() as connection:
            query = select(promotions).order_by(promotions.c.batch.desc(), promotions.c.event.desc()).limit(1)
            row = connection.execute(query).first()
        if row is None:
            raise LedgerError("expected a model that serves, got none; run `obliviate work`")
        return _promotion(row)

    def promotions(self, most: int = 100) -> list[Promotion]:
        """The models that served, the last first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(promotions).order_by(promotions.c.event.desc()).limit(most))
            return [_promotion(row) for row in rows]

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
            queued = _queued(connection, requests.c.number == number)
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
            return _queued(connection, and_(*conditions) if conditions else None, newest=most)

    def open_until(self, when: float, most: int = 1000) -> list[Queued]:
        """Requests that are due by then and not done, the earliest first."""
        with self.database.reading() as connection:
            waiting = requests.c.state.in_(["pending", "running", "failed"])
            query = select(requests).where(waiting, requests.c.due <= when).order_by(requests.c.due).limit(most)
            return [_of(row) for row in connection.execute(query)]

    def asked_by(self, request: int, kind: Literal["sample", "owner"] = "sample") -> list[str]:
        """The pseudonyms of the samples or the owners that a request is for."""
        with self.database.reading() as connection:
            return _asked(connection, request, kind)

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
            return [_event(row) for row in connection.execute(query)]

    def of_request(self, request: int) -> list[Event]:
        """The entries on a request, in their order."""
        with self.database.reading() as connection:
            query = select(events).where(events.c.request == request).order_by(events.c.number)
            return [_event(row) for row in connection.execute(query)]

    def of_batch(self, batch: int, kind: str) -> list[Event]:
        """The entries of one kind on a batch."""
        with self.database.reading() as connection:
            query = select(events).where(events.c.batch == batch, events.c.kind == kind).order_by(events.c.number)
            return [_event(row) for row in connection.execute(query)]

    def verify(self) -> Head:
        """Check every entry, and that all else follows from them; returns the end of the history.

        Raises LedgerError for the first thing that is not as it was written. Memory does not grow with the requests.
        """
        with self.database.reading() as connection:
            return check(connection)


# ----------------------------------------------------------------------------------------------- inside a transaction


def _submit(connection: Connection, chain: Chain, submission: Submission, days: float) -> Receipt:
    earlier = connection.execute(
        select(requests.c.number, requests.c.state, requests.c.content).where(requests.c.key == submission.key)
    ).first()
    if earlier is not None:
        if earlier.content != submission.content:
            raise KeyTakenError(
                f"expected a key of this request's own, got that of request {earlier.number}, which asks for something "
                "else; choose another --key"
            )
        return Receipt(earlier.number, earlier.state, new=False)
    if (before := _forgotten_by(connection, submission.samples)) is not None:
        return Receipt(before, "done", new=False, forgotten=True)
    chain.requests += 1
    number, due = chain.requests, round(chain.time + days * DAY, 3)
    counts = canonical(submission.counts)
    connection.execute(
        insert(requests).values(
            number=number,
            key=submission.key,
            state="pending",
            kind=submission.kind,
            content=submission.content,
            sealed=submission.sealed,
            counts=counts,
            submitted=chain.time,
            due=due,
        )
    )
    _ask(connection, number, "sample", submission.samples)
    _ask(connection, number, "owner", submission.owners)
    _count(connection, "pending", 1)
    chain.add(
        "submitted",
        request=number,
        asks=submission.kind,
        key=submission.key,
        content=submission.content,
        sealed_sha256=_sha256(submission.sealed),
        counts=dict(submission.counts),
        due=due,
        asked_sha256=_digest(submission.samples, submission.owners),
    )
    return Receipt(number, "pending", new=True)


def _sha256(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _digest(chosen: Iterable[str], owners: Iterable[str]) -> str:
    lines = [f"owner {name}" for name in sorted(set(owners))] + [f"sample {name}" for name in sorted(set(chosen))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _ask(connection: Connection, request: int, kind: str, names: Iterable[str]) -> None:
    rows = [{"request": request, "kind": kind, "pseudonym": name} for name in dict.fromkeys(names)]
    for part in chunks(rows, 5000):
        connection.execute(insert(asked), list(part))


def _asked(connection: Connection, request: int, kind: str) -> list[str]:
    query = select(asked.c.pseudonym).where(asked.c.request == request, asked.c.kind == kind)
    return list(connection.scalars(query.order_by(asked.c.pseudonym)))


def _forgotten_by(connection: Connection, wanted: Sequence[str]) -> int | None:
    """The last request by which all of these samples were forgotten, None where some are not."""
    if not wanted:
        return None
    last = 0
    for part in chunks(wanted):
        rows = connection.scalars(select(samples.c.batch).where(samples.c.sample.in_(part))).all()
        if len(rows) < len(part) or None in rows:
            return None
        last = max(last, *(batch for batch in rows if batch is not None))
    query = (
        select(func.min(requests.c.number))
        .join(asked, asked.c.request == requests.c.number)
        .where(requests.c.batch == last, requests.c.state == "done", asked.c.pseudonym.in_(wanted[:1]))
    )
    exact = connection.scalar(query)
    return exact or connection.scalar(
        select(func.min(requests.c.number)).where(requests.c.batch == last, requests.c.state == "done")
    )


def _count(connection: Connection, state: str, change: int) -> None:
    connection.execute(update(totals).where(totals.c.state == state).values(requests=totals.c.requests + change))


def _move(connection: Connection, before: str, after: str, numbers: Sequence[int], **values: Any) -> None:
    """Take requests from one state to another."""
    for part in chunks(numbers):
        connection.execute(update(requests).where(requests.c.number.in_(part)).values(state=after, **values))
    _count(connection, before, -len(numbers))
    _count(connection, after, len(numbers))


def _abandoned(connection: Connection, now: float) -> Any:
    """A batch that runs and that nobody works on any more."""
    query = (
        select(batches, leases.c.worker, leases.c.granted, leases.c.seconds)
        .outerjoin(leases, leases.c.batch == batches.c.number)
        .where(batches.c.state == "running")
        .order_by(batches.c.number)
    )
    # Rows that another writer has in hand are passed over, where several can write at a time.
    for row in connection.execute(query.with_for_update(skip_locked=True, of=batches)):
        # One from the far future was granted before the clock was set back: nobody can tell how long ago.
        if row.worker is None or is_gone(row.worker) or abs(now - row.granted) > row.seconds:
            return row
    return None


def _begin(connection: Connection, chain: Chain, most: int, *, alone: bool) -> int | None:
    """Make a batch of the requests that have waited longest; None where there are none, or one runs."""
    if alone and connection.execute(select(batches.c.number).where(batches.c.state == "running").limit(1)).first():
        return None
    query = select(requests.c.number).where(requests.c.state == "pending").order_by(requests.c.number).limit(most)
    numbers = list(connection.scalars(query.with_for_update(skip_locked=True)))
    if not numbers:
        return None
    chain.batches += 1
    connection.execute(insert(batches).values(number=chain.batches, state="running", attempts=1))
    _move(connection, "pending", "running", numbers, batch=chain.batches)
    for number in numbers:
        chain.add("started", request=number, batch=chain.batches)
    return chain.batches


def _numbers(connection: Connection, batch: int) -> list[int]:
    return [row.number for row in _queued(connection, and_(requests.c.batch == batch, requests.c.state == "running"))]


def _queued(connection: Connection, condition: Any, *, newest: int | None = None) -> list[Queued]:
    query = select(requests) if condition is None else select(requests).where(condition)
    query = query.order_by(requests.c.number) if newest is None else query.order_by(requests.c.number.desc())
    return [_of(row) for row in connection.execute(query if newest is None else query.limit(newest))]


def _promotion(row: Any) -> Promotion:
    return Promotion(row.model, row.file, row.file_sha256, row.weights_sha256, row.batch, row.event)


def _event(row: Any) -> Event:
    return Event(row.number, row.time, row.kind, row.request, row.batch, json.loads(row.facts), row.sha256)


def _of(row: Any) -> Queued:
    return Queued(
        row.number, row.state, row.kind, row.sealed, json.loads(row.counts), row.submitted, row.due, row.batch
    )


def _check(connection: Connection, lease: Lease) -> None:
    """Refuse a worker who has lost the batch; raises LedgerError."""
    token = connection.scalar(select(leases.c.token).where(leases.c.batch == lease.batch))
    if token != lease.token:
        raise LedgerError(
            f"expected to work on batch {lease.batch} still, got a lease that has ended: another worker has taken it "
            "over; nothing of this one was entered"
        )


def _finish(connection: Connection, chain: Chain, batch: int, outcomes: Mapping[int, Outcome]) -> None:
    for state in ("done", "failed"):
        numbers = sorted(number for number, outcome in outcomes.items() if outcome.state == state)
        if not numbers:
            continue
        _move(connection, "running", state, numbers)
        for number in numbers:
            chain.add(state, request=number, batch=batch, **outcomes[number].facts)
            if state == "done":
                for part in chunks(_asked(connection, number, "sample")):
                    connection.execute(
                        update(samples)
                        .where(samples.c.sample.in_(part), or_(samples.c.batch.is_(None), samples.c.batch > batch))
                        .values(batch=batch)
                    )
    over = "done" if any(outcome.state == "done" for outcome in outcomes.values()) else "failed"
    connection.execute(update(batches).where(batches.c.number == batch).values(state=over))
    connection.execute(delete(leases).where(leases.c.batch == batch))


def _promote(connection: Connection, chain: Chain, promotion: Promotion, why: str = "promoted") -> Promotion:
    facts = {key: value for key, value in vars(promotion).items() if key not in {"event", "batch"}}
    number = chain.add(why, batch=promotion.batch, **facts)
    connection.execute(insert(promotions).values(event=number, batch=promotion.batch, **facts))
    return Promotion(**facts, batch=promotion.batch, event=number)
