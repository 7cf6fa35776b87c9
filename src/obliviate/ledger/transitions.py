"""How requests, batches and what serves change, step by step: each inside a transaction that its caller has begun."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from obliviate.errors import KeyTakenError, LedgerError
from obliviate.ledger.chain import Chain, canonical
from obliviate.ledger.names import chunks
from obliviate.ledger.records import Lease, Outcome, Promotion, Queued, Receipt, Submission, request_of
from obliviate.ledger.tables import asked, batches, leases, promotions, requests, samples, totals
from obliviate.ledger.workers import is_gone

DAY: Final = 86_400


def enter(connection: Connection, chain: Chain, submission: Submission, days: float) -> Receipt:
    """Enter a request, or find it as it is; raises KeyTakenError for a key that another request has."""
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
    ask(connection, number, "sample", submission.samples)
    ask(connection, number, "owner", submission.owners)
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
        asked_sha256=digest(submission.samples, submission.owners),
    )
    return Receipt(number, "pending", new=True)


def _sha256(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def digest(chosen: Iterable[str], owners: Iterable[str]) -> str:
    """The hash of what a request asks for: pseudonyms of samples and owners, in any order."""
    lines = [f"owner {name}" for name in sorted(set(owners))] + [f"sample {name}" for name in sorted(set(chosen))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def ask(connection: Connection, request: int, kind: str, names: Iterable[str]) -> None:
    """Enter the pseudonyms of what a request is for, of samples or of owners."""
    rows = [{"request": request, "kind": kind, "pseudonym": name} for name in dict.fromkeys(names)]
    for part in chunks(rows, 5000):
        connection.execute(insert(asked), list(part))


def asked_by(connection: Connection, request: int, kind: str) -> list[str]:
    """The pseudonyms that `ask` entered, sorted."""
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


def move(connection: Connection, before: str, after: str, numbers: Sequence[int], **values: Any) -> None:
    """Take requests from one state to another."""
    for part in chunks(numbers):
        connection.execute(update(requests).where(requests.c.number.in_(part)).values(state=after, **values))
    _count(connection, before, -len(numbers))
    _count(connection, after, len(numbers))


def abandoned(connection: Connection, now: float) -> Any:
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


def begin(connection: Connection, chain: Chain, most: int, *, alone: bool) -> int | None:
    """Make a batch of the requests that have waited longest; None where there are none, or one runs."""
    if alone and connection.execute(select(batches.c.number).where(batches.c.state == "running").limit(1)).first():
        return None
    query = select(requests.c.number).where(requests.c.state == "pending").order_by(requests.c.number).limit(most)
    numbers = list(connection.scalars(query.with_for_update(skip_locked=True)))
    if not numbers:
        return None
    chain.batches += 1
    connection.execute(insert(batches).values(number=chain.batches, state="running", attempts=1))
    move(connection, "pending", "running", numbers, batch=chain.batches)
    for number in numbers:
        chain.add("started", request=number, batch=chain.batches)
    return chain.batches


def running_in(connection: Connection, batch: int) -> list[int]:
    """The numbers of the requests of a batch that run."""
    return [row.number for row in queued(connection, and_(requests.c.batch == batch, requests.c.state == "running"))]


def queued(connection: Connection, condition: Any, *, newest: int | None = None) -> list[Queued]:
    """The requests for which a condition holds, by number; or the newest of them, the last first."""
    query = select(requests) if condition is None else select(requests).where(condition)
    query = query.order_by(requests.c.number) if newest is None else query.order_by(requests.c.number.desc())
    return [request_of(row) for row in connection.execute(query if newest is None else query.limit(newest))]


def check_lease(connection: Connection, lease: Lease) -> None:
    """Refuse a worker who has lost the batch; raises LedgerError."""
    token = connection.scalar(select(leases.c.token).where(leases.c.batch == lease.batch))
    if token != lease.token:
        raise LedgerError(
            f"expected to work on batch {lease.batch} still, got a lease that has ended: another worker has taken it "
            "over; nothing of this one was entered"
        )


def finish(connection: Connection, chain: Chain, batch: int, outcomes: Mapping[int, Outcome]) -> None:
    """End a batch: what became of its requests, what is forgotten by it, and that nobody works on it any more."""
    for state in ("done", "failed"):
        numbers = sorted(number for number, outcome in outcomes.items() if outcome.state == state)
        if not numbers:
            continue
        move(connection, "running", state, numbers)
        for number in numbers:
            chain.add(state, request=number, batch=batch, **outcomes[number].facts)
            if state == "done":
                for part in chunks(asked_by(connection, number, "sample")):
                    connection.execute(
                        update(samples)
                        .where(samples.c.sample.in_(part), or_(samples.c.batch.is_(None), samples.c.batch > batch))
                        .values(batch=batch)
                    )
    over = "done" if any(outcome.state == "done" for outcome in outcomes.values()) else "failed"
    connection.execute(update(batches).where(batches.c.number == batch).values(state=over))
    connection.execute(delete(leases).where(leases.c.batch == batch))


def promote(connection: Connection, chain: Chain, promotion: Promotion, why: str = "promoted") -> Promotion:
    """Have a model serve, and return it with the number of the entry that says so."""
    facts = {key: value for key, value in vars(promotion).items() if key not in {"event", "batch"}}
    number = chain.add(why, batch=promotion.batch, **facts)
    connection.execute(insert(promotions).values(event=number, batch=promotion.batch, **facts))
    return Promotion(**facts, batch=promotion.batch, event=number)
