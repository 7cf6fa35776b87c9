"""The packages in `examples`, as if they were installed, and used from there."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from pages import ROOT
from quick_audits import FEW_PERMUTATIONS

COMMANDS = f"""{FEW_PERMUTATIONS}
import contextlib, io, json, sys
from obliviate.cli import main

for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(arguments)
    print(json.dumps(out.getvalue()))
"""
"""A program that runs commands one after another, and prints what each of them wrote, as JSON."""


def install(package: Path, site: Path) -> None:
    """Fill `site` with a package and the metadata that an installation writes from its `pyproject.toml`."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (source,) = (package / "src").iterdir()
    shutil.copytree(source, site / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = site / f"{source.name}-{project['version']}.dist-info"
    metadata.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}", ""]
    (metadata / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in places.items())
        for group, places in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")


def run_commands(site: Path, *commands: list[str]) -> list[Any]:
    """What commands with `--json` say, None for others, run where what is installed in `site` is found."""
    written = [json.loads(line) for line in _python(site, "-c", COMMANDS, json.dumps(commands)).splitlines()]
    return [json.loads(out) if "--json" in command else None for command, out in zip(commands, written, strict=True)]


def passed(package: Path, site: Path) -> int:
    """How many of the package's own tests pass, of which none may fail."""
    plugins = ("no:schemathesis", "no:cacheprovider")
    options = [f"--rootdir={package}", "-c", os.devnull, *(word for plugin in plugins for word in ("-p", plugin))]
    out = _python(site, "-m", "pytest", "-q", *options, str(package))
    match = re.search(r"\b(\d+) passed\b", out)
    assert match is not None, out
    return int(match[1])


def _python(site: Path, *arguments: str) -> str:
    """Run Python with what is installed in `site` on its path; return what it printed."""
    path = os.pathsep.join([str(site), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
