"""Help and documentation of every command."""

import re

import pytest

from command_line import ROOT, Cli
from obliviate.cli import app


def commands() -> list[str]:
    return [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented_and_has_help(name: str, cli: Cli) -> None:
    documents = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/cli.md")]
    assert any(f"obliviate {name}" in document for document in documents)
    code, out, _ = cli(name, "--help")
    assert code == 0
    assert name in out


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented(name: str, cli: Cli) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = text.partition("## Options")[2].partition("\n## ")[0]
    of_all = set(re.findall(r"--[a-z-]+", table.partition("| command |")[0]))
    documented, command = {"--method", *of_all}, ""  # those of every command, and the argument of one
    for first, options in re.findall(r"^\| (?:`(\w+)` )?\| (.*?) \|", table, re.M):
        command = first or command
        if command == name:
            documented |= set(re.findall(r"--[a-z-]+", options))
    documented |= {f"--{option[len('--no-') :]}" for option in documented if option.startswith("--no-")}
    offered = {option for argument in app[name].assemble_argument_collection() for option in argument.names}
    assert {option for option in offered if option.startswith("--")} <= documented


def test_the_commands_are_these() -> None:
    work = {"demo", "train", "adopt", "unlearn", "references", "audit", "inspect", "oracle", "judge", "run"}
    folder = {"export", "report", "compare", "status", "inventory", "purge"}
    project = {"init", "plan", "submit", "work", "due", "promote", "rollback", "verify", "keys"}
    project |= {"serve", "tokens", "webhooks"}
    assert set(commands()) == work | folder | project | {"methods", "attacks", "advise"}
