"""The tutorial on an erasure request is followed to the letter: every file, every command and what it prints."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Cli, refused
from obliviate.certificate import read
from obliviate.project import Project
from obliviate.report import html
from obliviate.requests import Requests
from pages import DOCS, blocks, commands

PAGE = DOCS / "tutorials" / "serve-an-erasure-request.md"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the reader works in, with the files that the page shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "render", lambda results: f"<!doctype html><title>{results.data.name}</title>")
    (config,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (tmp_path / "obliviate.toml").write_text(config, encoding="utf-8")
    (tmp_path / "shop.py").write_text(blocks(PAGE)[0].code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    return tmp_path


def follow(shop: Path, cli: Cli, look: Callable[[str], None]) -> None:
    """Do what the page says; `look` is called with every command before it is run."""
    for block in blocks(PAGE)[1:]:
        if block.language == "python":
            exec(compile(block.code, str(PAGE), "exec"), {})
            continue
        for command in commands(block):
            look(command.text)
            tool, *words = command.words
            if tool == "python":
                runpy.run_path(words[0], run_name="__main__")
                continue
            tip = Project.open(shop).ledger.tip() if {"WEIGHTS", "MODEL"} & set(words) else None
            if tip is not None:
                words = [{"WEIGHTS": tip.file, "MODEL": tip.model}.get(word, word) for word in words]
            code, out, err = cli(*words)
            assert code == 0, f"{command.text}\n{err}"
            printed = out.splitlines()
            for line in command.output.splitlines():
                assert any(text.startswith(line) for text in printed), f"{command.text}\n{line}\n{out}"


def test_the_tutorial_leads_from_a_users_own_weights_to_a_certificate_and_a_folder_without_the_customer(
    shop: Path, cli: Cli
) -> None:
    before: dict[str, bytes] = {}

    def look(command: str) -> None:
        if command.startswith("obliviate purge"):
            weights = Requests(shop / "run").slot("original", None).path
            before["original"] = weights.read_bytes()

    follow(shop, cli, look)
    project = Project.open(shop)
    statement = read(project.certificate(1))
    predicate = statement.predicate
    assert predicate["judgement"]["exact"]
    assert (predicate["before"]["trained_on"], predicate["after"]["trained_on"]) == (200, 195)
    assert [attempt["method"].partition("(")[0] for attempt in predicate["tried"]] == ["FineTune"]
    manifest = Requests(project.workspace).models()[0].manifest
    assert (manifest.method, manifest.weights_sha256) == ("adopted", predicate["before"]["weights_sha256"])
    public = [*shop.glob("ledger.db*"), *project.certificates.iterdir(), shop / "served.json"]
    named = [path for path in public if re.search(rb"c-7\b|order-(7|47|87|127|167)\b", path.read_bytes())]
    assert named == []
    left = [path for path in project.workspace.rglob("*") if path.is_file()]
    assert all(path.read_bytes() != before["original"] for path in left)
    assert not list(project.workspace.glob("references/*.safetensors"))
    costs = project.plan("owner:c-8")
    assert all(cost.seconds is not None for cost in costs.methods)


def test_weights_that_do_not_fit_and_code_that_is_not_trusted_begin_nothing(shop: Path, cli: Cli) -> None:
    runpy.run_path("shop.py", run_name="__main__")
    config = shop / "obliviate.toml"
    text = config.read_text(encoding="utf-8")
    for wrong, words in (
        (text.replace("trust = true", "trust = false"), ("trust = true", "shop:build")),
        (text.replace("theirs.pth", "customers.npz"), ("customers.npz",)),
        (text.replace("theirs.pth", "nowhere.pth"), ("nowhere.pth",)),
    ):
        config.write_text(wrong, encoding="utf-8")
        refused(cli("init"), *words)
        assert not (shop / "run" / "workspace.json").exists()
    config.write_text(text, encoding="utf-8")
    assert cli("init")[0] == 0
    (shop / "theirs.pth").unlink()  # the workspace has its own
    assert cli("work")[0] == 0
    config.write_text(text.replace('weights = "theirs.pth"\n', ""), encoding="utf-8")
    refused(cli("init"), "another adopted")
