"""The tables of the methods' pages say what the code does; their examples are run in `tests/test_pages.py`."""

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import obliviate
from obliviate import methods

ROOT = Path(__file__).parents[2]
HEADER = "| setting | default | meaning |"
METHODS = [cls for cls in methods.BUILT_IN if dataclasses.fields(cls)]


def rows(page: Path) -> list[tuple[list[str], str]]:
    """The names and the default of every row of a page's table of settings."""
    cells = []
    _, _, after = page.read_text(encoding="utf-8").partition(f"{HEADER}\n|---|---|---|\n")
    for line in after.split("\n\n")[0].splitlines():
        names, default, _ = re.split(r"(?<!\\)\|", line.strip("|"), maxsplit=2)
        cells.append((re.findall(r"`(\w+)`", names), default.strip()))
    return cells


def parsed(text: str) -> Any:
    """A value as it is written in a table: a number, True, None, a word in backticks, or prose."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text.strip("`")


def settings(page: Path) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    for names, default in rows(page):
        values = default.split(", ") if len(names) > 1 else [default]
        values = values * len(names) if len(values) == 1 else values
        by_name |= dict(zip(names, map(parsed, values), strict=True))
    return by_name


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=lambda page: page.stem)
def test_every_public_name_that_a_page_uses_exists(page: Path) -> None:
    used = set(re.findall(r"\bob\.([A-Za-z]\w*)", page.read_text(encoding="utf-8")))
    assert used <= set(obliviate.__all__)


# ------------------------------------------------------------------------------------------- tables of settings


@pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.name)
def test_the_table_of_settings_lists_every_field_with_its_default(cls: type[Any]) -> None:
    listed = settings(ROOT / "docs" / "methods" / f"{cls.name}.md")
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    assert set(listed) == set(defaults)
    for name, value in listed.items():
        chosen = [case[name] for case in getattr(cls, "when_none", {}).values() if name in case]
        numbers = [value for value in chosen if not isinstance(value, str)]
        if numbers:  # one for each case
            assert [float(number) for number in re.findall(r"[\d.e-]*\d", str(value))] == numbers, name
        elif defaults[name] is None:  # words may say what is chosen then, a number may not
            assert value is None or isinstance(value, str), name
        else:
            assert (type(value) in {int, float}, value) == (type(defaults[name]) in {int, float}, defaults[name]), name
