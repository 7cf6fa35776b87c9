"""Dates as people write them, read as dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import numpy as np
from jaxtyping import Shaped

from obliviate.errors import DataError

TIME: Final = r"(?:[T ] ?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
ZONE: Final = r" ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?"
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH: Final = rf"(?P<name>(?:{'|'.join(MONTHS)})[a-z]*)\.?"
YEAR_FIRST: Final = re.compile(r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})" + TIME + ZONE, re.ASCII)
DAY_FIRST: Final = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})" + TIME + ZONE, re.ASCII)
EITHER: Final = re.compile(r"(?P<first>\d{1,2})([/-])(?P<second_>\d{1,2})\2(?P<year>\d{4})" + TIME + ZONE, re.ASCII)
NAMED: Final = tuple(
    re.compile(form + TIME + ZONE, re.ASCII | re.IGNORECASE)
    for form in (
        rf"(?P<day>\d{{1,2}})\.?[ -]{MONTH}[ ,-]+(?P<year>\d{{4}})",
        rf"{MONTH}[ -](?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ ,-]+(?P<year>\d{{4}})",
    )
)
SHORT: Final = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d{2}", re.ASCII)
PARTIAL: Final = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d{1,2}))?", re.ASCII)
CLEAR: Final = (YEAR_FIRST, DAY_FIRST, *NAMED)
EMPTY: Final = frozenset({"", "NaT", "nat", "NA", "null", "None"})
REMEDY: Final = "write dates as 2020-01-31"


@dataclass(frozen=True, eq=False)
class Dates:
    """Instants, NaT where there is none, and whether the day comes first where that is not clear (None if it is)."""

    instants: Shaped[np.ndarray, " n"]
    day_first: bool | None


def are_dates(texts: Sequence[str]) -> bool:
    """Whether all of these texts that are not empty are written as dates, and one at least is.

    >>> are_dates(["31.12.2019", ""]), are_dates(["31.12.2019", "soon"]), are_dates(["2019"])
    (True, False, False)
    """
    written = [text.strip() for text in texts if text.strip() not in EMPTY]
    return bool(written) and all(any(form.fullmatch(text) for form in (*CLEAR, EITHER, SHORT)) for text in written)


def read_column(name: str, texts: Sequence[str]) -> Dates:
    """Read the dates of a column, in UTC where they have a time zone.

    In 03/04/2020 either number may be the day: the others of the column decide. Raises DataError where they do not, for
    years of two digits, and for days that do not exist.

    >>> read_column("day", ["03/04/2020", "25/04/2020", ""]).instants.astype("datetime64[D]").tolist()[0]
    datetime.date(2020, 4, 3)
    """
    written = [text.strip() for text in dict.fromkeys(texts) if text.strip() not in EMPTY]
    if short := next((text for text in written if SHORT.fullmatch(text)), None):
        raise DataError(f"expected dates with the whole year in column {name!r}, got {short!r}; {REMEDY}")
    day_first = None
    if either := [match for text in written if (match := EITHER.fullmatch(text))]:
        days = any(int(match["first"]) > 12 for match in either)
        months = any(int(match["second_"]) > 12 for match in either)
        if days == months:
            got = "some with the day first and some with the month" if days else "only such as may be either"
            raise DataError(
                f"expected dates in column {name!r} that say whether the day or the month comes first, got {got} "
                f"({either[0][0]!r}); {REMEDY}"
            )
        day_first = days
    instants = {text: _instant(text, day_first, f"in column {name!r}") for text in written}
    values = [instants.get(text.strip(), np.datetime64("NaT", "us")) for text in texts]
    return Dates(np.array(values, dtype="datetime64[us]"), day_first)


def read_constant(text: str, day_first: bool | None) -> np.datetime64 | None:
    """Read a date, or a year, or a year and a month, for its first day; None for anything else.

    `day_first` is that of the column that it is compared with. Raises DataError as `read_column` does.

    >>> read_constant("01.02.2020", None).astype(str)[:10], read_constant("2020-02", None).astype(str)[:10]
    ('2020-02-01', '2020-02-01')
    """
    text = text.strip()
    if match := PARTIAL.fullmatch(text):
        return _instant(f"{match['year']}-{match['month'] or 1}-1", None, "in the condition")
    if SHORT.fullmatch(text) or (day_first is None and EITHER.fullmatch(text)):
        match = EITHER.fullmatch(text)
        numbers = (0, 0) if match is None else (int(match["first"]), int(match["second_"]))
        if max(numbers) <= 12:
            raise DataError(f"expected a date in the condition that can be read in one way, got {text!r}; {REMEDY}")
        return _instant(text, numbers[0] > 12, "in the condition")
    if any(form.fullmatch(text) for form in (*CLEAR, EITHER)):
        return _instant(text, day_first, "in the condition")
    return None


def _instant(text: str, day_first: bool | None, where: str) -> np.datetime64:
    match = next(matched for form in (*CLEAR, EITHER) if (matched := form.fullmatch(text)))
    parts = match.groupdict()
    if "first" in parts:
        day, month = (parts["first"], parts["second_"]) if day_first else (parts["second_"], parts["first"])
    else:
        day, month = parts["day"], parts.get("month") or 1 + MONTHS.index(parts["name"][:3].lower())
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    microseconds = int((parts["fraction"] or "0").ljust(6, "0")[:6])
    try:
        instant = datetime(
            int(parts["year"]), int(month), int(day), hour, minute, second, microseconds, tzinfo=_zone(parts["zone"])
        )
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DataError(f"expected a date that there is, got {text!r} {where} ({error}); correct it") from error
    return np.datetime64(instant.replace(tzinfo=None), "us")


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
