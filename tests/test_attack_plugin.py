"""The example package of `examples/attack-plugin`, as if it were installed: found, run, and held to the contract."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "attack-plugin"
PAGE = ROOT / "docs" / "attacks.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and the metadata that an installation writes from its `pyproject.toml`."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = PLUGIN / "src" / "obliviate_calibrated"
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = folder / f"{package.name}-{project['version']}.dist-info"
    metadata.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}", ""]
    (metadata / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    points = project["entry-points"]
    text = "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in one.items()) for group, one in points.items())
    (metadata / "entry_points.txt").write_text(text, encoding="utf-8")
    return folder


def python(site: Path, *arguments: object) -> str:
    """Run Python with the package on its path; return what it printed."""
    path = os.pathsep.join([str(site), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


COMMANDS = """
import contextlib, io, json, sys
from obliviate.cli import main

for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(arguments)
    print(json.dumps(out.getvalue()))
"""


def test_it_is_listed_and_attacks_where_it_is_named(site: Path, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    train = ["train", "--data", "diabetes", "--out", run, "--epochs", "1"]
    unlearn = ["unlearn", "gradient_ascent", "--forget", "random:0.2", "--out", run]
    audit = ["audit", "--out", run, "--references", "4", "--retrained", "0", "--workers", "0", "--json"]
    asked = [["attacks", "--json"], train, unlearn, audit, [*audit, "--attack", "calibrated_loss"]]
    done = python(site, "-c", COMMANDS, json.dumps(asked))
    attacks, _, _, usual, named = (json.loads(line) for line in done.splitlines())
    listed = {one["name"]: one for one in json.loads(attacks)}
    assert listed["calibrated_loss"]["needs"] == ["references"]
    assert listed["calibrated_loss"]["defaults"] == {"share": 1.0}
    before, after = (json.loads(results)["models"][0] for results in (usual, named))
    assert "calibrated_loss" not in before["attacks"]
    assert after["attacks"]["calibrated_loss"]["ft"]["value"] > 0
    del after["attacks"]["calibrated_loss"]
    assert before == after
    page = (tmp_path / "run" / "requests" / "0001" / "report.html").read_text(encoding="utf-8")
    assert "calibrated loss (Watson et al., ICLR 2022, arXiv 2111.08440)" in page


def test_its_own_tests_pass(site: Path) -> None:
    out = python(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={PLUGIN}", "-c", os.devnull, PLUGIN)
    assert re.search(r"\b7 passed\b", out), out


def test_the_page_shows_the_attack_as_it_is() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    shown = (PLUGIN / "src" / "obliviate_calibrated" / "calibrated_loss.py").read_text(encoding="utf-8")
    assert shown.strip() in [block.strip() for block in blocks]
