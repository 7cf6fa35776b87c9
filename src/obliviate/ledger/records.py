"""What goes into a ledger and comes out of it: submissions, requests as they stand, leases, outcomes, promotions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from obliviate.ledger.chain import Event

Kind = Literal["ids", "owners", "rule"]


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


def promotion_of(row: Any) -> Promotion:
    """The model that a row of `promotions` tells of."""
    return Promotion(row.model, row.file, row.file_sha256, row.weights_sha256, row.batch, row.event)


def event_of(row: Any) -> Event:
    """The entry that a row of `events` is."""
    return Event(row.number, row.time, row.kind, row.request, row.batch, json.loads(row.facts), row.sha256)


def request_of(row: Any) -> Queued:
    """The request that a row of `requests` is."""
    return Queued(
        row.number, row.state, row.kind, row.sealed, json.loads(row.counts), row.submitted, row.due, row.batch
    )
