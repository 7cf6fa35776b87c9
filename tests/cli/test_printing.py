"""Lists and tables that are printed."""

import json

import pytest

from command_line import Cli
from obliviate.cli.printing.console import new_console
from obliviate.methods import BUILT_IN
from obliviate.methods.base import describe


def test_methods_are_listed_with_their_sources_and_defaults(cli: Cli) -> None:
    code, out, _ = cli("methods", "--json")
    assert code == 0
    assert [method["name"] for method in json.loads(out)] == [cls.name for cls in BUILT_IN]
    keys = {"name", "summary", "source", "needs", "exact", "tasks", "defaults", "when_none"}
    assert all(set(method) == keys for method in json.loads(out))


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_list_of_methods_fits_the_terminal_and_is_whole(
    columns: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = type(new_console())
    monkeypatch.setattr("obliviate.cli.printing.registries.new_console", lambda: console(width=columns))
    code, table, _ = cli("methods")
    assert code == 0
    assert max(map(len, table.splitlines())) <= min(columns, 120)
    words = " ".join(table.split())
    for method in map(describe, BUILT_IN):
        assert f"{method['name']} {'exact' if method['exact'] else 'approximate'}; needs " in words
        for text in (
            method["summary"],
            method["source"],
            *(f"{key}={value}" for key, value in method["defaults"].items()),
        ):
            assert text in words
        for case, values in method["when_none"].items():
            assert all((str(value) if case == "always" else f"{value} {case}") in words for value in values.values())
