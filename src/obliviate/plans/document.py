"""A plan as it is written: what a file of TOML says, checked field by field, with the line of each in messages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from obliviate.errors import ObliviateError, PlanError

LARGEST: Final = 2**63 - 1
MOST_BYTES: Final = 2**20
HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_\"'. -]+?)\s*\]\]?\s*(?:#.*)?")
KEY: Final = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*[=.]")


@dataclass(frozen=True)
class Table:
    """A table of a plan: its values, where it stands, and what it is called in messages.

    >>> table = Table({"references": "8"}, what="audit")
    >>> table.integer("references", 16)
    Traceback (most recent call last):
    obliviate.errors.PlanError: expected audit.references to be a whole number, got '8' in the plan; correct it
    """

    values: Mapping[str, Any]
    source: str = "the plan"
    what: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, name: str = "") -> str:
        """Where a field stands, or the table itself."""
        line = self.lines.get(name, self.lines.get(""))
        return self.source if line is None else f"{self.source}, line {line}"

    def called(self, name: str) -> str:
        """What a field is called."""
        return f"{self.what}.{name}" if self.what else name

    def error(self, name: str, wanted: str, got: object, remedy: str = "correct it") -> PlanError:
        """What is wrong with a field."""
        return PlanError(
            f"expected {self.called(name)} to be {wanted}, got {got!r:.80} in {self.place(name)}; {remedy}"
        )

    def only(self, *known: str) -> None:
        """Refuse fields other than these; raises PlanError."""
        for name in self.values:
            if name not in known:
                listed = ", ".join(known)
                raise PlanError(
                    f"expected fields of {self.what or 'a plan'} among {listed}, got {name!r:.80} in "
                    f"{self.place(name)}; correct or remove it"
                )

    def _typed(self, name: str, default: Any, kinds: tuple[type, ...], wanted: str) -> Any:
        if name not in self.values:
            return default
        value = self.values[name]
        if type(value) not in kinds or (type(value) is int and abs(value) > LARGEST):
            raise self.error(name, wanted, value)
        return value

    def integer(self, name: str, default: int | None) -> Any:
        """A whole number of at most 64 bits."""
        return self._typed(name, default, (int,), "a whole number")

    def number(self, name: str, default: float | None) -> Any:
        """A number."""
        value = self._typed(name, default, (int, float), "a number")
        return None if value is None else float(value)

    def text(self, name: str, default: str | None) -> Any:
        """A text."""
        return self._typed(name, default, (str,), "a text")

    def truth(self, name: str, default: bool) -> bool:
        """True or false."""
        return self._typed(name, default, (bool,), "true or false")

    def tables(self, name: str) -> list[Table]:
        """The tables of a list, `[[name]]`; raises PlanError where there are none."""
        values = self.values.get(name, [])
        if not (isinstance(values, list) and values and all(isinstance(value, dict) for value in values)):
            raise PlanError(
                f"expected one [[{name}]] or more, got {'none' if name not in self.values else repr(values)[:80]} in "
                f"{self.place(name)}; add such a table"
            )
        return [self._table(f"{name} {number}", (name, number), value) for number, value in enumerate(values, start=1)]

    def table(self, name: str, *, needed: bool = False) -> Table:
        """The table `[name]`, empty where there is none; raises PlanError for one that is `needed`."""
        value = self.values.get(name, {})
        if not isinstance(value, dict) or (needed and name not in self.values):
            got = "none" if name not in self.values else repr(value)[:80]
            raise PlanError(f"expected a table [{name}], got {got} in {self.place(name)}; add it")
        return self._table(name, (name, 1), value)

    def _table(self, what: str, place: tuple[str, int], values: Mapping[str, Any]) -> Table:
        key = f"{place[0]}\0{place[1]}"
        lines = {name.partition("\1")[2]: line for name, line in self.lines.items() if name.partition("\1")[0] == key}
        return Table(values, self.source, what, lines or {"": self.lines.get(place[0], self.lines.get("", 1))})

    @contextmanager
    def checked(self, name: str = "") -> Iterator[None]:
        """Say where it stands in the plan if what is done inside refuses a value; raises PlanError."""
        try:
            yield
        except PlanError:
            raise
        except ObliviateError as error:
            raise PlanError(f"{self.place(name)}, {self.called(name) if name else self.what}: {error}") from error


def read(path: Path) -> Table:
    """Read the file of a plan; raises PlanError for one that is missing, too large or no TOML, with the line."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PlanError(f"expected a plan of at most 1 MiB, got a larger {path}; name the file of a plan")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise PlanError(f"expected a file of TOML, got {str(path)!r:.200} ({reason}); name a plan") from error
    try:
        return parse(content.decode("utf-8-sig"), source=str(path))
    except UnicodeDecodeError as error:
        raise PlanError(
            f"expected text in UTF-8, got other bytes in {path} ({error.reason}); save it as such"
        ) from error


def parse(text: str, *, source: str = "the plan") -> Table:
    """Read the text of a plan; raises PlanError where it is no TOML.

    >>> parse("seeds = [0, 1]").values
    {'seeds': [0, 1]}
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"expected TOML, got {error} in {source}; correct it") from error
    return Table(values, source, "", _lines(text))


def of_values(values: Mapping[str, Any]) -> Table:
    """A plan from values in Python, as the file of one would hold them."""
    return Table(dict(values))


def _lines(text: str) -> dict[str, int]:
    """The line of every field: "name" at the top, "table, its number, name" below; of the tables themselves without."""
    lines: dict[str, int] = {}
    key, counts = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.fullmatch(line):
            name = header[2].strip("\"'")
            counts[name] = counts.get(name, 0) + 1
            key = f"{name}\0{counts[name]}\1"
            lines.setdefault(name, number)
            lines.setdefault(key, number)
        elif assigned := KEY.match(line):
            lines.setdefault(f"{key}{assigned[1]}", number)
    return lines


def listed(values: Sequence[Any], what: str, table: Table, name: str, check: Callable[[Any], bool]) -> list[Any]:
    """A list without repetitions whose entries all pass a check; raises PlanError."""
    wanted = f"a list of {what}, each once"
    if not (isinstance(values, list) and values and all(map(check, values)) and len(set(values)) == len(values)):
        raise table.error(name, wanted, values)
    return list(values)
