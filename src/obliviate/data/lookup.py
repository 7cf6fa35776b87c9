"""Names as people write them, and the names that the data have: which is which, and why one is none of them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from obliviate._util.words import shown
from obliviate.errors import DataError

Unknown: TypeAlias = Literal["refuse", "skip"]
"""What becomes of a request that names what the training set does not have."""

INVISIBLE: Final = re.compile("[\u200b-\u200f\u2060\ufeff]")  # marks that editors and spreadsheets leave in cells
WHOLE: Final = re.compile(r"([+-]?)0*([0-9]+?)(?:\.0+)?", flags=re.ASCII)
HEADINGS: Final = frozenset(
    {"id", "ids", "key", "sample", "sample id", "image", "file", "name", "names", "owner", "person", "user", "customer"}
    | {"sample_id", "user_id", "customer_id", "user id", "customer id", "owner_id", "owner id", "e-mail", "email"}
)
WORDS: Final = {
    "test": "of the test set, never trained on",
    "holdout": "of the holdout set, never trained on",
    "forgotten": "forgotten already",
    "ambiguous": "that more than one may be meant by",
    "unknown": "not known",
}
"""What is said of names that are not found, by their status."""
NAMED: Final = ("found", "erased")
"""The status of names that a request may be for."""


def spelling(name: str) -> str:
    """What a name is known by, however it is written.

    Spaces around it, marks that cannot be seen and the Unicode normal form make no difference; nor do, in a whole
    number, leading zeros and a fraction of zeros, which spreadsheets take and give.

    >>> spelling(" 017"), spelling("17.0"), spelling("17a"), spelling("e\\u0301") == spelling("é")
    ('17', '17', '17a', True)
    """
    plain = " ".join(INVISIBLE.sub("", unicodedata.normalize("NFC", name)).split())
    number = WHOLE.fullmatch(plain)
    return plain if number is None else f"{'-' if number[1] == '-' else ''}{number[2]}"


@dataclass(frozen=True)
class Entry:
    """One name that was asked for, what it is in the data ("" if nothing), and how it was found.

    `status` is "found", or "erased" for one that was trained on and is no longer in the source; "duplicate" for one
    that was found before; "heading" for the first line of a list that names
    its column; or a reason of `WORDS`.
    """

    asked: str
    found: str
    status: str

    def to_dict(self) -> dict[str, str]:
        """The entry in JSON values."""
        return {"asked": self.asked, "found": self.found, "status": self.status}


@dataclass(frozen=True)
class Lookup:
    """What was asked for, name by name, in its order.

    >>> lookup = look_up(["id", " 1", "2.0", "2", "9"], ["1", "2", "3"], listed=True)
    >>> lookup.found, lookup.counts
    (['1', '2'], {'heading': 1, 'found': 2, 'duplicate': 1, 'unknown': 1})
    """

    entries: tuple[Entry, ...]

    @property
    def found(self) -> list[str]:
        """The names of what was trained on that were asked for, each once."""
        return [entry.found for entry in self.entries if entry.status in NAMED]

    @property
    def counts(self) -> dict[str, int]:
        """How many entries there are of each status."""
        return dict(Counter(entry.status for entry in self.entries))

    def checked(self, what: str, unknown: Unknown, *, samples: int) -> list[str]:
        """The names to go on with: those found, or, where nothing but forgotten ones is amiss, these too.

        `what` are "ids" or "owners" of so many `samples`. Raises DataError where none was found, and for others unless
        they are to be skipped.
        """
        check_unknown(unknown)
        missing = {word: [entry.asked for entry in self.entries if entry.status == word] for word in WORDS}
        missing = {word: names for word, names in missing.items() if names}
        if not missing:
            return self.found
        if unknown == "skip" and self.found:
            return self.found
        if set(missing) == {"forgotten"} and unknown == "refuse":
            return [entry.found for entry in self.entries if entry.status in {*NAMED, "forgotten"}]
        reasons = "; ".join(f"{len(names):,} {WORDS[word]} ({shown(names)})" for word, names in missing.items())
        count = sum(map(len, missing.values()))
        asked = count + len(self.found)
        remedy = ", or go on without them by --unknown skip" if self.found else ""
        if len(self.entries) == 1 and os.path.isfile(name := self.entries[0].asked):  # noqa: PTH113 - a name may be no path
            remedy = f", or name the list in this file, {'' if what == 'ids' else 'owner:'}@{name}"
        raise DataError(
            f"expected {what} of these {samples} samples, got {count:,} of {asked:,} that are none: {reasons}; correct "
            f"them{remedy}"
        )


def look_up(
    asked: Sequence[str],
    known: Iterable[str],
    elsewhere: Mapping[str, Iterable[str]] | None = None,
    *,
    listed: bool = False,
    heading: str = "",
) -> Lookup:
    """Find names among those `known`, by their exact text first, and by their `spelling` where that is of one only.

    `elsewhere` are names that are not trained on, by the status that they have then. The first name of a `listed`
    column may be its `heading`.
    """
    places = {"found": _by_spelling(known)} | {part: _by_spelling(names) for part, names in (elsewhere or {}).items()}
    entries: list[Entry] = []
    seen: set[str] = set()
    for text in asked:
        entry = _entry(text, places)
        if entry.status in NAMED:
            entry = Entry(text, entry.found, "duplicate") if entry.found in seen else entry
            seen.add(entry.found)
        entries.append(entry)
    if listed and entries and entries[0].status == "unknown" and _is_heading(asked, heading):
        entries[0] = Entry(asked[0], "", "heading")
    return Lookup(tuple(entries))


def check_unknown(unknown: str) -> None:
    """Refuse a way of dealing with unknown names that there is not; raises DataError."""
    if unknown not in (ways := get_args(Unknown)):
        raise DataError(f"expected unknown names to be dealt with by {' or '.join(ways)}, got {unknown!r}; choose one")


def _by_spelling(names: Iterable[str]) -> dict[str, list[str]]:
    spelled: dict[str, list[str]] = {}
    for name in dict.fromkeys(map(str, names)):
        spelled.setdefault(spelling(name), []).append(name)
    return spelled


def _entry(text: str, places: Mapping[str, Mapping[str, list[str]]]) -> Entry:
    key = spelling(text)
    candidates = {status: spelled[key] for status, spelled in places.items() if key in spelled}
    for status, names in candidates.items():
        if text in names:
            return Entry(text, text, status)
    for status, names in candidates.items():
        return Entry(text, names[0], status) if len(names) == 1 else Entry(text, "", "ambiguous")
    return Entry(text, "", "unknown")


def _is_heading(asked: Sequence[str], heading: str) -> bool:
    """Whether the first of a column of names is what the column is called: by a known word, or by its look."""
    first, others = asked[0], asked[1:]
    if spelling(first).casefold() in HEADINGS | {spelling(heading).casefold()}:
        return True
    marks = (re.compile(r"\d"), re.compile("@"))
    return any(
        len(others) > 1 and not mark.search(first) and all(mark.search(other) for other in others) for mark in marks
    )
