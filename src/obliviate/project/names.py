"""What a request names: rules, and names that the data may not have; and how times are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeGuard

from obliviate._util.words import shown
from obliviate.data.lookup import WORDS, Unknown
from obliviate.errors import DataError

RULES: Final = ("random:", "class:", "where:", "mislabelled:", "memorised:")
PLAIN_RULES: Final = ("coins", "noise")


def is_rule(what: str | Sequence[str]) -> TypeGuard[str]:
    """Whether a request is put as a rule, which the worker follows."""
    return isinstance(what, str) and (what.startswith(RULES) or what in PLAIN_RULES)


def check_names(pairs: Iterable[tuple[str, str]], kind: str, unknown: Unknown) -> None:
    """Refuse names that the data do not have, unless they are to be skipped; raises DataError."""
    pairs = list(pairs)
    missing = {word: [name for name, status in pairs if status == word] for word in WORDS if word != "forgotten"}
    missing = {word: names for word, names in missing.items() if names}
    usable = sum(status in {"found", "forgotten"} for _, status in pairs)
    if usable and (unknown == "skip" or not missing):
        return
    reasons = "; ".join(f"{len(names):,} {WORDS[word]} ({shown(names)})" for word, names in missing.items())
    count = sum(map(len, missing.values()))
    remedy = ", or go on without them by --unknown skip" if usable else ""
    raise DataError(
        f"expected {kind} of the data, got {count:,} of {count + usable:,} that are none: {reasons or 'no name'}; "
        f"correct them{remedy}"
    )


def moment(seconds: float) -> str:
    """A time in seconds since 1970 as people read it (ISO 8601, UTC).

    >>> moment(0.0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
