"""The example package of `examples/plugin`, as if it were installed: found, run, and held to the contract."""

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
PLUGIN = ROOT / "examples" / "plugin"
TUTORIAL = ROOT / "docs" / "tutorials" / "write-your-own-method.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and the metadata that an installation writes from its `pyproject.toml`."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = PLUGIN / "src" / "obliviate_noisy"
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


def test_it_is_listed_and_runs_from_the_command_line(site: Path, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    unlearn = ["unlearn", "noisy_fine_tune", "--forget", "random:0.1", "--set", "epochs=1", "--out", run, "--json"]
    train = ["train", "--data", "diabetes", "--out", run, "--epochs", "1"]
    done = python(site, "-c", COMMANDS, json.dumps([["methods", "--json"], train, unlearn]))
    methods, _, unlearned = (json.loads(line) for line in done.splitlines())
    listed = {one["name"]: one for one in json.loads(methods)}
    assert listed["noisy_fine_tune"]["needs"] == ["labels", "retain"]
    assert listed["noisy_fine_tune"]["defaults"] == {"noise": 0.6, "epochs": 3, "learning_rate": 0.05, "batch_size": 64}
    made = json.loads(unlearned)
    assert made["method"] == "NoisyFineTune(noise=0.6, epochs=1, learning_rate=0.05, batch_size=64)"


def test_its_own_tests_pass(site: Path) -> None:
    out = python(
        site,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:schemathesis",
        "-p",
        "no:cacheprovider",
        f"--rootdir={PLUGIN}",
        "-c",
        os.devnull,
        PLUGIN,
    )
    assert re.search(r"\b18 passed\b", out), out


def test_the_tutorial_shows_the_files_as_they_are() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    files = ["pyproject.toml", "src/obliviate_noisy/noisy_fine_tune.py", "tests/test_noisy_fine_tune.py"]
    assert [block.strip() for block in blocks] == [(PLUGIN / one).read_text(encoding="utf-8").strip() for one in files]
