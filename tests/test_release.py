"""What is released holds the package and no leftovers, and is built to the same bytes again."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import obliviate
from pages import ROOT
from repository_scripts import script


@pytest.fixture(scope="module")
def release() -> ModuleType:
    return script("release")


@pytest.fixture(scope="module")
def files(release: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return release.reproducible(tmp_path_factory.mktemp("dist"), 1_790_000_000)


def test_the_files_are_fit_to_be_released(release: ModuleType, files: tuple[Path, Path]) -> None:
    wheel, source = files
    assert wheel.name == f"obliviate-{obliviate.__version__}-py3-none-any.whl"
    release.check_wheel(wheel)
    release.check_source(source)


def test_every_file_of_the_package_is_in_the_wheel(files: tuple[Path, Path]) -> None:
    package = ROOT / "src" / "obliviate"
    here = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(files[0]) as archive:
        assert {name for name in archive.namelist() if name.startswith("obliviate/")} == here


def test_a_wheel_with_leftovers_or_without_types_is_refused(
    release: ModuleType, files: tuple[Path, Path], tmp_path: Path
) -> None:
    with_junk, untyped, strange = (tmp_path / name / files[0].name for name in ("junk", "untyped", "strange"))
    for path, more, without in (
        (with_junk, "obliviate/__pycache__/a.pyc", ""),
        (untyped, "obliviate/more.py", "obliviate/py.typed"),
        (strange, "tests/conftest.py", ""),
    ):
        path.parent.mkdir()
        with zipfile.ZipFile(files[0]) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                if name != without:
                    new.writestr(name, old.read(name))
            new.writestr(more, "")
    for path, words in (
        (with_junk, "no leftovers"),
        (untyped, "expected obliviate/py.typed"),
        (strange, "package alone"),
    ):
        with pytest.raises(release.ReleaseError, match=words):
            release.check_wheel(path)


def test_a_source_archive_without_tests_is_refused(release: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "obliviate-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("obliviate-1.0/pyproject.toml"), io.BytesIO())
    with pytest.raises(release.ReleaseError, match=r"tests/conftest\.py"):
        release.check_source(path)


def test_a_file_beyond_the_limit_is_refused(
    release: ModuleType, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "LIMIT", 1000)
    with pytest.raises(release.ReleaseError, match="at most 1,000 bytes"):
        release.check_wheel(files[0])


def test_a_command_that_fails_is_told(release: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(release.ReleaseError, match="to work"):
        release._run([sys.executable, "-c", "raise SystemExit(3)"], str(tmp_path))


def test_the_citation_has_the_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {obliviate.__version__}" in lines
