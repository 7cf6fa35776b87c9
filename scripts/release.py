"""Make the files of a release in `dist`, and check them: what they hold, that they are reproducible, that they work.

python scripts/release.py [--python python3.11 --python python3.12]

The wheel and the source archive are built twice and must have the same bytes. The wheel is installed with the versions
of `constraints.txt` in an empty environment for each Python, where a small model is trained. Beside them lie the
software bill of materials of that environment (CycloneDX) and the hashes. Needs the extra `release`, and an index.
"""

import argparse
import email
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DIST: Final = ROOT / "dist"
LIMIT: Final = 5_000_000
"""Bytes that no file of a release may have more of."""

NEEDED: Final = ("__init__.py", "__init__.pyi", "workflow/__init__.pyi", "py.typed", "data/embedded/LICENSE")
"""Files of the package that would be missed last."""

JUNK: Final = ("__pycache__", ".pyc", ".pytest_cache", ".safetensors", "_build/", ".ipynb_checkpoints")
"""Parts of names that no file of a release has."""

SMALL: Final = ("train", "--out", "run", "--data", "digits", "--train-size", "200", "--epochs", "1")


class ReleaseError(Exception):
    """A file that is not fit to be released."""


def build(folder: Path, epoch: int) -> tuple[Path, Path]:
    """Build the wheel and the source archive into an empty folder, as of `epoch`, a time in seconds since 1970."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"expected a build, got:\n{done.stdout}{done.stderr}")
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def check_wheel(wheel: Path) -> None:
    """Refuse a wheel that lacks what is needed, or holds anything but the package; raises ReleaseError."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
    _check(wheel, names, [f"obliviate/{name}" for name in NEEDED])
    version = wheel.name.split("-")[1]
    strange = [name for name in names if not name.startswith(("obliviate/", f"obliviate-{version}.dist-info/"))]
    if strange:
        raise ReleaseError(f"expected the package alone in {wheel.name}, got {strange[:5]}; name what belongs there")
    if metadata["Version"] != version or not metadata["Requires-Python"]:
        raise ReleaseError(f"expected the metadata of version {version}, got those of {metadata['Version']}")


def check_source(source: Path) -> None:
    """Refuse a source archive from which nobody could build, test or read; raises ReleaseError."""
    with tarfile.open(source) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers()]
    needed = ["pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py", "docs/conf.py"]
    _check(source, names, [*needed, *(f"src/obliviate/{name}" for name in NEEDED)])


def _check(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    if path.stat().st_size > LIMIT:
        raise ReleaseError(f"expected at most {LIMIT:,} bytes, got {path.stat().st_size:,} in {path.name}")
    if missing := [name for name in needed if name not in names]:
        raise ReleaseError(f"expected {', '.join(missing)} in {path.name}, got none; see [tool.hatch.build]")
    if junk := [name for name in names if any(part in name for part in JUNK)]:
        raise ReleaseError(f"expected no leftovers in {path.name}, got {', '.join(junk[:5])}; remove them")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reproducible(folder: Path, epoch: int) -> tuple[Path, Path]:
    """Build twice, and refuse builds that differ; the first one's files."""
    folder.mkdir(parents=True, exist_ok=True)
    built = build(folder, epoch)
    with tempfile.TemporaryDirectory() as other:
        for first, second in zip(built, build(Path(other), epoch), strict=True):
            if sha256(first) != sha256(second):
                raise ReleaseError(f"expected the same bytes of two builds, got others in {first.name}")
    return built


def try_wheel(wheel: Path, python: str, bill: Path) -> None:
    """Install a wheel in an empty environment, use it there, and write down what came with it."""
    with tempfile.TemporaryDirectory() as folder:
        if python == sys.executable:
            venv.create(Path(folder) / "venv", with_pip=True)
        else:
            _run([python, "-m", "venv", "venv"], folder)
        interpreter = str(Path(folder) / "venv" / "bin" / "python")
        constraints = str(ROOT / "constraints.txt")
        _run([interpreter, "-m", "pip", "install", "--quiet", "--constraint", constraints, str(wheel)], folder)
        command = str(Path(folder) / "venv" / "bin" / "obliviate")
        version = _run([command, "--version"], folder).strip()
        if version != wheel.name.split("-")[1]:
            raise ReleaseError(f"expected version {wheel.name.split('-')[1]}, got {version} from {wheel.name}")
        for arguments in (("--help",), SMALL, ("status", "--out", "run")):
            _run([command, *arguments], folder)
        options = ["--output-reproducible", "--of", "JSON", "-o", str(bill)]
        _run([sys.executable, "-m", "cyclonedx_py", "environment", *options, interpreter], folder)


def _run(command: Sequence[str], folder: str) -> str:
    """What a command prints; it sees no Python path of ours. Raises ReleaseError where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"expected `{' '.join(command)}` to work, got:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="an interpreter to try the wheel with; this one if left out")
    chosen = parser.parse_args()
    committed = int(_run(["git", "log", "-1", "--format=%ct"], str(ROOT)))
    DIST.mkdir(exist_ok=True)
    for old in DIST.iterdir():
        old.unlink()
    wheel, source = reproducible(DIST, committed)
    check_wheel(wheel)
    check_source(source)
    _run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source)], str(ROOT))
    bill = DIST / f"{wheel.name.partition('-py3')[0]}.cdx.json"
    for python in chosen.python or [sys.executable]:
        try_wheel(wheel, python, bill)
    files = [wheel, source, bill]
    lines = [f"{sha256(path)}  {path.name}" for path in files]
    (DIST / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(f"{path.stat().st_size:>10,}  {line}" for path, line in zip(files, lines, strict=True)))


if __name__ == "__main__":
    try:
        main()
    except ReleaseError as error:
        sys.exit(f"error: {error}")
