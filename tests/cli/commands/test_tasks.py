"""The command line on data that are no images: trained, unlearned, audited, and refused where a method cannot serve."""

import json
from pathlib import Path

import pytest

from obliviate.cli import main

WORDS = "but soft what light through yonder window breaks it is the east and juliet is the sun".split()  # noqa: SIM905


def table(folder: Path) -> Path:
    rows = "\n".join(f"{i * 37 % 151},{('Oslo', 'Rome')[i % 2]},{('no', 'yes')[i % 23 > 11]}" for i in range(150))
    (folder / "mine.csv").write_text(f"age,town,bought\n{rows}\n", encoding="utf-8")
    (folder / "data.toml").write_text('path = "mine.csv"\ntarget = "bought"\n', encoding="utf-8")
    return folder


def text(folder: Path) -> Path:
    rows = "\n".join(f"word{i % 11} word{i % 7} word{i},{('a', 'b')[i % 11 > 5]}" for i in range(150))
    (folder / "mine.csv").write_text(f"words,label\n{rows}\n", encoding="utf-8")
    settings = 'path = "mine.csv"\ntarget = "label"\ntext = "words"\nlength = 4\n'
    (folder / "data.toml").write_text(settings, encoding="utf-8")
    return folder


def play(folder: Path) -> Path:
    said = [" ".join(WORDS[(7 * i + k * k) % len(WORDS)] for k in range(24)) for i in range(40)]
    speeches = [f"{('ROMEO', 'JULIET')[i % 2]}:\n{speech} {i}." for i, speech in enumerate(said)]
    (folder / "input.txt").write_text("\n\n".join(speeches) + "\n", encoding="utf-8")
    (folder / "data.toml").write_text('path = "input.txt"\nkind = "causal-lm"\nlength = 24\n', encoding="utf-8")
    return folder


SOURCES = {"table": table, "text": text, "regression": lambda _: "diabetes", "language model": play}
SMALL = {"text": ["--options", '{"width": 8, "heads": 2}'], "language model": ["--options", '{"width": 8, "heads": 2}']}


def run(*arguments: object) -> int | str | None:
    """Run a command in this process, and return its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.mark.parametrize("kind", SOURCES)
def test_data_of_every_kind_are_trained_unlearned_and_audited(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, out = SOURCES[kind](tmp_path), tmp_path / "run"
    options = ["--data", source, "--holdout-size", 12, "--epochs", 2, *SMALL.get(kind, [])]
    assert run("train", "--out", out, *options) == 0
    assert run("unlearn", "nabla_tau", "--out", out, "--forget", "random:0.1") == 0
    refused = kind not in ("table", "text")
    assert run("unlearn", "amun", "--out", out) == int(refused)
    assert ("expected a task that amun serves (classification), got" in capsys.readouterr().err) == refused
    assert (
        run("audit", "--out", out, "--references", 4, "--retrained", 2, "--workers", 0, "--cheap-attacks", "--json")
        == 0
    )
    results = json.loads(capsys.readouterr().out)
    names = [model["name"] for model in results["models"]]
    assert names[:2] == ["original", "nabla_tau"]
    assert ("amun" in names) != refused
    assert all(0 <= model["accuracy"]["forget"]["value"] <= 100 for model in results["models"])
    assert all("mia_loss" in model["cheap_attacks"] for model in results["models"])
    assert results["task"]["right"]
    assert "<svg" in (out / "requests" / "0001" / "report.html").read_text(encoding="utf-8")
