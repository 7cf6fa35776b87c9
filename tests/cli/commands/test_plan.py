"""`obliviate plan --simulate`."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Cli
from obliviate.project import Project


def test_where_nothing_is_measured_costs_are_those_of_the_package_in_retrainings(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["plan", "--simulate", "--rate", "4", "--method", "amun", "--method", "never_seen", "--sizes", "1, 5"]
    code, out, _ = cli(*words, "--csv", "year.csv", "--plot", "year.svg")
    assert code == 0
    assert "No training was measured: costs are in retrainings" in out
    assert "cells that the package ships" in out
    with (tmp_path / "year.csv").open(encoding="utf-8") as stream:
        ways = [(row["way"], row["served"]) for row in csv.DictReader(stream)]
    assert len(ways) == 8
    assert ways[0] == ("retrain", "at once")
    assert (tmp_path / "year.svg").read_text(encoding="utf-8").startswith("<svg")
    _, first, _ = cli(*words, "--json")
    _, second, _ = cli(*words, "--json")
    assert json.loads(first) == json.loads(second)
    assert json.loads(first)["retraining_seconds"] is None


def test_a_projects_policy_is_what_batches_follow(cli: Cli, tmp_path: Path) -> None:
    Project.create(tmp_path / "shop", source="digits", methods=("scrub", "amun"))
    toml = tmp_path / "shop" / "obliviate.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("# batch = 100 ", "batch = 2 "), encoding="utf-8")
    words = ["plan", "--project", str(tmp_path / "shop"), "--simulate", "--samples", "500", "--rate", "20", "--json"]
    code, out, _ = cli(*words)
    assert code == 0
    facts = json.loads(out)
    assert {row["way"] for row in facts["ways"]} == {"retrain", "sisa", "scrub", "amun"}
    (batches,) = [row["runs"] for row in facts["ways"] if (row["way"], row["served"]) == ("retrain", "in batches")]
    assert batches == -(-len(facts["requests"]) // 2)
    _, audited, _ = cli(*words, "--audited")
    of = {(row["way"], row["served"]): row for row in json.loads(audited)["ways"]}
    assert of["amun", "in batches"]["trainings"] == 16 + 3 * batches
    code, _, err = cli(*words[:4])
    assert code == 1
    assert "say how many training samples there are with --samples" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["id-1", "--simulate"], "expected a request or --simulate, got both"),
        (["--rate", "3"], "expected --simulate beside the options of a simulation"),
        (["--simulate", "--sizes", "1,x"], "expected whole numbers with commas between them, got '1,x'"),
        (["--simulate", "--method", "sorcery"], "expected methods whose cost was measured"),
        (["--simulate", "--rate", "-1"], "expected rate above 0"),
        (["--simulate", "--project", "nowhere"], "expected a project"),
        (["--simulate", "--project", "nowhere", "--out", "run"], "expected --project or --out"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], message: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("plan", *words, "--csv", "year.csv")
    assert code == 1
    assert message in err
    assert not any(tmp_path.iterdir())


def test_no_torch_is_imported(tmp_path: Path) -> None:
    code = "import sys; from obliviate.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    words = [sys.executable, "-c", code, "plan", "--simulate", "--plot", "year.svg"]
    subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
