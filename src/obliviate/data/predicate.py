"""Conditions on columns, read from text and never run as code."""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Bool, Shaped

from obliviate.data import dates
from obliviate.errors import DataError

Columns: TypeAlias = Mapping[str, np.ndarray]
Constant: TypeAlias = bool | int | float | str
Mask: TypeAlias = Bool[np.ndarray, " n"]
Side: TypeAlias = Shaped[np.ndarray, " n"] | Constant | np.datetime64

WORDS: Final = {ast.BitAnd: ("&", "and"), ast.BitOr: ("|", "or"), ast.Invert: ("~", "not")}
"""What pandas writes, and what stands for it here."""
ASSIGNED: Final = re.compile(r"(?<![<>=!])=(?!=)")
LITERAL: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
LONGEST: Final = 1000  # characters; what is nested deeper than Python can follow is longer
SHOWN: Final = 10  # values that an error lists
COMPARED: Final[dict[type[ast.cmpop], Callable[[Side, Side], Mask]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
MEMBER: Final = (ast.In, ast.NotIn)
QUOTED: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`([^`]*)`")
GRAMMAR: Final = "columns, numbers, quoted texts, ==, !=, <, <=, >, >=, in (…), and, or, not and parentheses"


@dataclass(frozen=True, eq=False)
class Predicate:
    """A condition that a sample's entries in named columns meet or not.

    Names that are no identifiers of Python stand in backquotes.

    >>> condition = parse("18 <= age < 30 and not `home town` in ('Ulm', 'Bonn')")
    >>> condition.columns
    ('age', 'home town')
    >>> condition.mask({"age": np.array([17, 20, 29]), "home town": np.array(["Kiel", "Bonn", "Kiel"])}).tolist()
    [False, False, True]
    """

    text: str
    _tree: ast.expr
    _names: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, in the order of the text."""
        names = [node for node in ast.walk(self._tree) if isinstance(node, ast.Name)]
        names.sort(key=lambda node: node.col_offset)
        return tuple(dict.fromkeys(self._names.get(node.id, node.id) for node in names))

    def mask(self, columns: Columns) -> Mask:
        """Which samples meet the condition.

        A column of dates (`dates.are_dates`) compares as dates do, other texts as texts. A column of texts is compared
        with a number if all its entries are numbers. An empty entry of dates or numbers is unknown: it meets only `!=`.

        Raises DataError for unknown columns, for texts, dates and numbers that do not compare, and for dates that can
        be read in two ways.
        """
        for name in self.columns:
            find(name, columns)
        return self._mask(self._tree, columns)

    def _mask(self, node: ast.expr, columns: Columns) -> Mask:
        if isinstance(node, ast.BoolOp):
            both = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return reduce(both, (self._mask(operand, columns) for operand in node.values))
        if isinstance(node, ast.UnaryOp):
            return ~self._mask(node.operand, columns)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return reduce(np.logical_and, (self._compared(*pair, columns) for pair in pairs))
        assert isinstance(node, ast.Name)  # `parse` has looked
        name = self._names.get(node.id, node.id)
        if (column := plain(columns[name])).dtype.kind != "b":
            raise DataError(f"expected a column of true and false, got {name!r}; compare it, as in {name} == …")
        return column

    def _compared(self, left: ast.expr, sign: ast.cmpop, right: ast.expr, columns: Columns) -> Mask:
        if isinstance(sign, MEMBER):
            assert isinstance(right, ast.Tuple | ast.List)
            member = reduce(np.logical_or, (self._compared(left, ast.Eq(), entry, columns) for entry in right.elts))
            return ~member if isinstance(sign, ast.NotIn) else member
        sides = self._side(left, columns), self._side(right, columns)
        return COMPARED[type(sign)](*self._alike(*sides, ordered=not isinstance(sign, ast.Eq | ast.NotEq)))

    def _side(self, node: ast.expr, columns: Columns) -> tuple[str, Side]:
        if isinstance(node, ast.Name):
            name = self._names.get(node.id, node.id)
            return name, plain(columns[name])
        return "", _constant(node)

    @staticmethod
    def _alike(left: tuple[str, Side], right: tuple[str, Side], *, ordered: bool) -> tuple[Side, Side]:
        """Both sides as numbers if one is a number, as dates if a column holds dates, and as texts otherwise."""
        (_, left_side), (_, right_side) = left, right
        if _is_text(left_side) == _is_text(right_side):
            return _as_dates(left, right, ordered=ordered) if _is_text(left_side) else (left_side, right_side)
        (name, text), (_, number) = (left, right) if _is_text(left_side) else (right, left)
        if isinstance(text, str):
            column = left[0] or right[0]
            raise DataError(f"expected a number to compare with {column}, got {text!r}; leave out the quotes")
        assert isinstance(text, np.ndarray)
        numbers = _numbers(name, text, number)
        return (numbers, number) if _is_text(left_side) else (number, numbers)


def parse(text: str) -> Predicate:
    """Read a condition; raises DataError for anything that is not one."""
    names: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        name = f"column_{len(names)}_"
        while name in text:
            name += "_"
        names[name] = match[1]
        return name

    if len(text) > LONGEST:
        raise DataError(f"expected a condition of at most {LONGEST} characters, got {len(text)}; name ids in a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a doubtful condition is refused, not warned of
            tree = ast.parse(QUOTED.sub(named, text).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        assigned = "write == for =" if ASSIGNED.search(LITERAL.sub("", text)) else getattr(error, "msg", error)
        raise DataError(
            f"expected a condition such as age >= 18 and town in ('Ulm', 'Bonn'), got {text!r} ({assigned}); "
            f"use {GRAMMAR}"
        ) from error
    _check(tree, text)
    return Predicate(text.strip(), tree, names)


def find(name: str, columns: Columns) -> np.ndarray:
    """Look a column up; raises DataError for one that is not there, with those that are."""
    if not columns:
        raise DataError(
            f"expected data with columns beside the samples, got none named {name!r}; give them, or name ids instead"
        )
    if name not in columns:
        raise DataError(f"expected a column of {', '.join(columns)}, got {name!r}; {hint(name, columns)}")
    return columns[name]


def hint(name: str, known: Iterable[str]) -> str:
    """Name what was perhaps meant.

    >>> hint("agee", ["age", "town"])
    "did you mean 'age'?"
    """
    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else "name one of them"


def plain(column: np.ndarray) -> Shaped[np.ndarray, " n"]:
    """Entries as numbers if all are numbers, and as texts otherwise, empty where there is none.

    >>> plain(np.array(["b", None, math.nan], dtype=object)).tolist()
    ['b', '', '']
    """
    if column.dtype.kind in "buifU":
        return column
    if column.dtype.kind in "mM":
        return np.where(np.isnat(column), "", column.astype(np.str_))
    entries = column.tolist() if column.dtype.kind == "O" else column.astype(np.str_).tolist()
    if entries and all(isinstance(entry, int | float) for entry in entries):
        return np.array(entries)
    return np.array(["" if is_missing(entry) else str(entry) for entry in entries], dtype=np.str_)


def is_missing(entry: object) -> bool:
    """Whether an entry of a column says that there is none: None, NaN, or NA and NaT of pandas.

    >>> is_missing(math.nan), is_missing(""), is_missing(0)
    (True, False, False)
    """
    return (
        entry is None
        or (isinstance(entry, float) and math.isnan(entry))
        or type(entry).__name__ in ("NAType", "NaTType")  # of pandas, which need not be installed
    )


def values(name: str, column: np.ndarray) -> str:
    """Say what a column holds: the range of numbers, or the commonest texts with their counts.

    >>> values("age", np.array([17, 90, 30])), values("town", np.array(["Ulm", "Bonn", "Ulm"]))
    ('age is 17 … 90', 'town is Ulm (2), Bonn (1)')
    """
    entries = plain(column)
    if entries.dtype.kind in "uif":
        present = entries[~np.isnan(entries)]
        return f"{name} is {present.min():g} … {present.max():g}" if len(present) else f"{name} is unknown everywhere"
    distinct, counts = np.unique(entries, return_counts=True)
    most = [
        f"{'nothing' if distinct[i] == '' else distinct[i]} ({counts[i]})"
        for i in np.argsort(-counts, kind="stable")[:SHOWN]
    ]
    return f"{name} is {', '.join(most)}" + (f" and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else "")


def _check(node: ast.expr, text: str) -> None:
    """Refuse everything that is not a condition; raises DataError."""
    if isinstance(node, ast.BoolOp):
        for operand in node.values:
            _check(operand, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand, text)
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
            _check_pair(left, sign, right, text)
    elif not isinstance(node, ast.Name):
        raise _foreign(node, text)


def _check_pair(left: ast.expr, sign: ast.cmpop, right: ast.expr, text: str) -> None:
    listed = isinstance(sign, MEMBER)
    if listed and (not isinstance(right, ast.Tuple | ast.List) or not right.elts):
        raise DataError(f"expected a list after `in`, as in town in ('Ulm', 'Bonn'), got {text!r}; correct it")
    if not listed and type(sign) not in COMPARED:
        raise _foreign(sign, text)
    values = right.elts if listed and isinstance(right, ast.Tuple | ast.List) else [right]
    for side in (left, *values):
        if not isinstance(side, ast.Name):
            _constant(side, text)
    if not isinstance(left, ast.Name) and (listed or not isinstance(right, ast.Name)):
        raise DataError(f"expected a column in every comparison, got none in one of {text!r}; name a column")
    if listed and any(isinstance(value, ast.Name) for value in values):
        raise DataError(f"expected numbers or quoted texts in a list, got a name in {text!r}; put quotes around it")


def _constant(node: ast.expr, text: str = "") -> Constant:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = node.operand.value
        if isinstance(number, int | float) and not isinstance(number, bool):
            return -number
    raise _foreign(node, text)


def _foreign(node: ast.AST, text: str) -> DataError:
    if isinstance(node, ast.BinOp | ast.UnaryOp) and (word := WORDS.get(type(node.op))):
        return DataError(f"expected {GRAMMAR}, got {word[0]} in {text!r}; write `{word[1]}` in its place")
    return DataError(f"expected {GRAMMAR}, got {type(node).__name__} in {text!r}; leave it out")


def _is_text(side: Side) -> bool:
    return side.dtype.kind == "U" if isinstance(side, np.ndarray) else isinstance(side, str)


def _as_dates(left: tuple[str, Side], right: tuple[str, Side], *, ordered: bool) -> tuple[Side, Side]:
    """Both sides as instants where the columns among them hold dates, and else as they are.

    Raises DataError where an order is asked for of dates and what are none.
    """
    columns = {name: side.tolist() for name, side in (left, right) if isinstance(side, np.ndarray)}
    constants = [side for _, side in (left, right) if isinstance(side, str)]
    dated = {name: dates.are_dates(texts) for name, texts in columns.items()}
    if not all(dated.values()):
        name = next(name for name, whether in dated.items() if not whether)
        if ordered and any(dates.are_dates([text]) for text in constants):
            odd = next((text for text in columns[name] if text.strip() and not dates.are_dates([text])), "")
            raise DataError(
                f"expected dates in column {name!r} to compare with {constants[0]!r}, got {odd!r}; {dates.REMEDY}"
            )
        return left[1], right[1]
    read = {name: dates.read_column(name, texts) for name, texts in columns.items()}
    day_first = next(iter(read.values())).day_first
    read_constants = (dates.read_constant(text, day_first) for text in constants)
    instants = [instant for instant in read_constants if instant is not None]
    if len(instants) < len(constants):
        if ordered:
            raise DataError(
                f"expected a date to compare with column {next(iter(columns))!r}, got {constants[0]!r}; {dates.REMEDY}"
            )
        return left[1], right[1]
    left_side, right_side = (read[name].instants if name in read else instants[0] for name, _ in (left, right))
    return left_side, right_side


def _numbers(name: str, texts: Shaped[np.ndarray, " n"], compared: Side) -> Shaped[np.ndarray, " n"]:
    numbers = np.empty(len(texts))
    for place, text in enumerate(texts.tolist()):
        try:
            numbers[place] = float(text) if text.strip() else np.nan
        except ValueError as error:
            quoted = f"; put quotes around {compared!r}" if not isinstance(compared, np.ndarray) else "; correct it"
            raise DataError(f"expected numbers in column {name!r}, got {text!r}{quoted}") from error
    return numbers


def matched(condition: Predicate, columns: Columns, *, private: Iterable[str | None] = ()) -> Mask:
    """Which samples meet a condition that neither all nor none of them meet; raises DataError otherwise.

    The error tells what columns hold, but for `private` ones, which name people.
    """
    mask = condition.mask(columns)
    if (count := int(mask.sum())) in (0, len(mask)):
        got = "none of them" if count == 0 else f"all {count}"
        named = set(private)
        summaries = "; ".join(
            f"{name} has {len(np.unique(plain(columns[name])))} values"
            if name in named
            else values(name, columns[name])
            for name in condition.columns
        )
        raise DataError(
            f"expected a condition that some of the {len(mask)} training samples meet, got {condition.text!r}, "
            f"which {got} meet{'s' if count == 0 else ''} ({summaries}); change it"
        )
    return mask
