"""`obliviate references`, and executors of a user's own."""

import json
import shutil
from pathlib import Path

import pytest

from command_line import Cli, refused, snapshot
from obliviate._util.files import read_sealed_json, write_sealed_json


@pytest.mark.usefixtures("without_page")
def test_references_are_trained_ahead_of_an_audit_and_extended(cli: Cli, folder: Path) -> None:
    train = ("references", "--out", folder, "--workers", 0, "--references")
    code, out, _ = cli(*train, 4, "--json")
    assert code == 0
    facts = json.loads(out)
    (pool,) = facts["pools"]
    assert pool["megabytes"] > 0
    assert {key: pool[key] for key in ("fingerprint", "references", "with_weights", "samples", "used")} == {
        "fingerprint": facts["fingerprint"],
        "references": 4,
        "with_weights": 4,
        "samples": 400,
        "used": True,
    }
    before = snapshot(folder)
    code, out, _ = cli(*train, 6)
    assert code == 0
    assert out.startswith(f"{pool['fingerprint']}: 6 references over 400 samples, 6 with weights, ")
    after = snapshot(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2 * 3
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("member-*")}
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.2")[0] == 0
    assert cli("audit", "--out", folder, "--references", 6, "--retrained", 2, "--workers", 0)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("member-*")} == times
    code, out, _ = cli(*train, 4, "--no-keep-weights", "--json")
    assert json.loads(out)["pools"][0]["with_weights"] == 2  # of the four that were asked for, none
    assert cli(*train, 4, "--no-keep-weights", "--json")[1] == out
    beside = Path(shutil.copytree(folder / "references" / pool["fingerprint"], folder / "references" / "beside"))
    facts = read_sealed_json(beside / "pool.json")
    write_sealed_json(beside / "pool.json", facts | {"architecture_sha256": "0" * 64})
    notes = [line.partition("; ")[2] for line in cli(*train, 4)[1].splitlines() if line.startswith("beside: ")]
    assert notes == ["not this folder's: the architecture as built"]


CLUSTER = """
from concurrent.futures import ThreadPoolExecutor


class Counted(ThreadPoolExecutor):
    def submit(self, fn, /, *args):
        with open("calls.txt", "a") as file:
            print(fn.__name__, args[2], file=file)
        return super().submit(fn, *args)


def four():
    return Counted(4)
"""


@pytest.mark.usefixtures("without_page")
def test_references_and_shadows_are_made_by_an_executor_of_ones_own(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "my_cluster.py").write_text(CLUSTER)
    monkeypatch.chdir(here)
    executor = ("--executor", "my_cluster:four")
    code, _, err = cli("references", "--out", folder, "--references", 4, *executor)
    assert code == 0, err
    assert (here / "calls.txt").read_text().splitlines() == [f"make_elsewhere {number}" for number in range(4)]
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.3")[0] == 0
    code, out, err = cli(
        "audit", "--out", folder, "--references", 6, "--retrained", 0, "--shadows", "--json", *executor
    )
    assert code == 0, err
    calls = [f"make_elsewhere {number}" for number in (*range(4), *range(4, 6), *range(6))]
    assert (here / "calls.txt").read_text().splitlines() == calls
    assert "ulira" in json.loads(out)["models"][1]["attacks"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--executor", "nowhere:make"), "got 'nowhere:make', which cannot be imported (No module named 'nowhere')"),
        (("--executor", "builtins:list"), "expected an executor with `submit`, got list from builtins:list; name a"),
        (
            ("--executor", "concurrent.futures:ThreadPoolExecutor", "--workers", "2"),
            "expected workers or an executor, got workers=2 and an executor; leave one out",
        ),
    ],
)
def test_an_executor_that_is_none_is_refused_before_any_work(
    cli: Cli, folder: Path, options: tuple[str, ...], problem: str
) -> None:
    assert cli("unlearn", "gradient_ascent", "--out", folder, "--forget", "random:0.3")[0] == 0
    before = snapshot(folder)
    for command in ("references", "audit"):
        code, out, err = cli(command, "--out", folder, "--references", 4, *options)
        assert (code, out) == (1, "")
        assert problem in err
    assert snapshot(folder) == before


def test_references_that_cannot_be_trained_are_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    before = snapshot(folder)
    refused(cli("references", "--out", folder, "--references", 5), "an even number of reference models", "5")
    refused(cli("references", "--out", tmp_path / "none"), "a folder made by `obliviate train`", "without workspace")
    assert snapshot(folder) == before
