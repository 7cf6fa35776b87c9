"""Where commands compute: all that do take `--device`, and refuse one that is not there before any work."""

from pathlib import Path

import pytest

from command_line import Cli, refused
from obliviate.cli import app

COMPUTING = {
    "demo": ["--out", "new"],
    "train": ["--out", "new"],
    "adopt": ["weights.pt", "--out", "new"],
    "unlearn": ["fine_tune", "--out", "new", "--forget", "random:0.1"],
    "references": ["--out", "new"],
    "audit": ["--out", "new"],
    "inspect": ["--out", "new"],
    "oracle": ["new", "--out", "run"],
    "judge": ["fine_tune", "--oracle", "new"],
    "run": ["plan.toml", "--out", "new"],
    "work": ["--once"],
}
"""Every command that trains a model or asks one, with what it needs beside the device."""
READING = {"export", "report", "compare", "status", "inventory", "purge", "methods", "attacks"}
READING |= {"init", "submit", "due", "promote", "rollback", "verify", "keys", "serve", "tokens", "webhooks"}
READING |= {"advise", "plan"}
MACHINE = ["--device", "--evaluation-batch", "--loader-workers", "--precision"]


def options(name: str) -> set[str]:
    return {option for argument in app[name].assemble_argument_collection() for option in argument.names}


def test_every_command_computes_or_only_reads() -> None:
    assert {name for name in app if not name.startswith("-")} == set(COMPUTING) | READING


@pytest.mark.parametrize("name", sorted(COMPUTING))
def test_a_command_that_computes_takes_what_the_machine_is_asked_for(name: str) -> None:
    assert set(MACHINE) <= options(name)


@pytest.mark.parametrize("name", sorted(READING))
def test_a_command_that_only_reads_does_not(name: str) -> None:
    assert not set(MACHINE) & options(name)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
@pytest.mark.parametrize("name", sorted(COMPUTING))
def test_a_device_that_is_not_there_is_refused_before_any_work(
    name: str, device: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(cli(name, *COMPUTING[name], "--device", device), "expected a device of cpu", repr(device))
    assert list(tmp_path.iterdir()) == []
