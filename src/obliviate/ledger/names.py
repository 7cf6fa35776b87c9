"""Samples and owners by their pseudonyms: which are in the data, under which spelling, and what was forgotten."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from sqlalchemy import Connection, select

from obliviate.ledger.tables import samples

NOBODY: Final = ""
CHUNK: Final = 400  # of the names that one query may have
T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """A sample by its pseudonym, with those of its name and its owner, as written and by their spelling.

    The `part` is "train", "test" or "holdout"; what nobody owns has empty owners.
    """

    sample: str
    name: str
    spelled: str
    owner: str
    owner_spelled: str
    part: str

    @property
    def line(self) -> str:
        """All of it in a line, for the hash of the whole."""
        return "|".join((self.sample, self.name, self.spelled, self.owner, self.owner_spelled, self.part))


@dataclass(frozen=True)
class Name:
    """What somebody asked for, by its pseudonyms as it is written and by its spelling."""

    exact: str
    spelled: str


@dataclass(frozen=True)
class Match:
    """What became of a name: its status, those of `data.lookup`, and the samples that it stands for.

    `pseudonym` is that of the sample or the owner, "" where there is none.
    """

    status: str
    pseudonym: str = ""
    samples: tuple[str, ...] = ()


def digest_of(lines: Iterable[Sample]) -> tuple[int, str]:
    """How many samples there are, and the hash of all of them, in the order of their pseudonyms."""
    digest, count = hashlib.sha256(), 0
    for entry in lines:
        digest.update(entry.line.encode() + b"\n")
        count += 1
    return count, digest.hexdigest()


def read_samples(connection: Connection) -> Iterator[Sample]:
    """Every sample, in the order of the pseudonyms."""
    columns = [samples.c[name] for name in Sample.__dataclass_fields__]
    for row in connection.execution_options(yield_per=1000).execute(select(*columns).order_by(samples.c.sample)):
        yield Sample(*row)


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Parts of a sequence, each short enough for one query."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def look_up(connection: Connection, kind: Literal["ids", "owners"], names: Sequence[Name]) -> list[Match]:
    """Find every name among samples or owners: by its exact text first, by its spelling where that is of one only.

    Statuses are "found", "duplicate" for one that was found before, "forgotten" where nothing that it stands for is
    left, "ambiguous", "unknown", and "test" or "holdout" for what is not trained on.
    """
    column, spelled = (
        (samples.c.name, samples.c.spelled) if kind == "ids" else (samples.c.owner, samples.c.owner_spelled)
    )
    by_spelling: dict[str, list[tuple[str, str, str, int | None]]] = {}
    for part in chunks(sorted({name.spelled for name in names})):
        query = select(spelled, column, samples.c.sample, samples.c.part, samples.c.batch).where(spelled.in_(part))
        for key, *row in connection.execute(query.order_by(samples.c.sample)):
            by_spelling.setdefault(key, []).append((row[0], row[1], row[2], row[3]))
    matches: list[Match] = []
    seen: set[str] = set()
    for name in names:
        match = _match(name, by_spelling.get(name.spelled, []), kind)
        if match.status == "found":
            match = Match("duplicate", match.pseudonym) if match.pseudonym in seen else match
            seen.add(match.pseudonym)
        matches.append(match)
    return matches


def _match(name: Name, rows: Sequence[tuple[str, str, str, int | None]], kind: Literal["ids", "owners"]) -> Match:
    called = {row[0] for row in rows}
    trained = {row[0] for row in rows if row[2] == "train"}
    called = {name.exact} if name.exact in called else trained or called
    if not called:
        return Match("unknown")
    if len(called) > 1:
        return Match("ambiguous")
    (exact,) = called
    mine = [row for row in rows if row[0] == exact]
    trained_on = [row for row in mine if row[2] == "train"]
    present = tuple(row[1] for row in trained_on if row[3] is None)
    # An id column may name several samples alike; each is then one of those that the name stands for.
    pseudonym = mine[0][1] if kind == "ids" and len(mine) == 1 else exact
    if present:
        return Match("found", pseudonym, present)
    if trained_on:
        return Match("forgotten", pseudonym, tuple(row[1] for row in trained_on))
    return Match(mine[0][2], pseudonym)


def counted(matches: Iterable[Match]) -> dict[str, int]:
    """How many names came to what.

    >>> counted([Match("found", "5f"), Match("unknown"), Match("found", "6a")])
    {'found': 2, 'unknown': 1}
    """
    return dict(Counter(match.status for match in matches))
