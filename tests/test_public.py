"""The public names: one list, from which the rest follows, and nothing else in what users read."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import obliviate
from obliviate.methods import BUILT_IN
from pages import ROOT
from repository_scripts import script

SOURCE = ROOT / "src" / "obliviate"


make_api = script("make_api")
EXTENSIONS: tuple[str, ...] = make_api.EXTENSIONS


def test_the_stub_is_the_only_list() -> None:
    lines = (SOURCE / "__init__.pyi").read_text(encoding="utf-8").splitlines()
    listed = [match[2] for line in lines if (match := re.fullmatch(r"from (obliviate\.\S+) import (\w+) as \2", line))]
    assert len(listed) == len(lines) - 4  # a comment, an empty line, `__all__` and the version
    assert sorted(listed) == obliviate.__all__
    assert set(dir(obliviate)) == {*obliviate.__all__, "__version__"}


def test_besides_the_methods_there_are_about_forty_five() -> None:
    """Whoever adds a name beyond that takes another one off."""
    others = set(obliviate.__all__) - {cls.__name__ for cls in BUILT_IN}
    assert len(others) <= 57


@pytest.mark.parametrize("cls", BUILT_IN, ids=attrgetter("name"))
def test_every_method_is_public(cls: type[Any]) -> None:
    assert getattr(obliviate, cls.__name__) is cls


@pytest.mark.parametrize("name", obliviate.__all__)
def test_every_public_name_is_what_its_module_defines(name: str) -> None:
    value = getattr(obliviate, name)
    assert value.__name__ == name
    assert getattr(importlib.import_module(value.__module__), name) is value


@pytest.mark.parametrize("name", obliviate.__all__)
def test_every_public_name_has_an_example_that_runs(name: str) -> None:
    """All doctests of the package run with the tests, so that an example that is there is one that runs."""
    example = getattr(obliviate, name).__doc__.partition(">>> ")[2]
    assert name in example


def test_no_example_is_skipped() -> None:
    assert [path for path in SOURCE.rglob("*.py") if "doctest: +SKIP" in path.read_text(encoding="utf-8")] == []
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert "src" in settings["testpaths"]
    assert "--doctest-modules" in settings["addopts"]


@pytest.mark.parametrize("module", EXTENSIONS)
def test_modules_for_other_packages_have_what_they_list(module: str) -> None:
    imported = importlib.import_module(module)
    assert all(hasattr(imported, name) for name in imported.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'obliviate' has no attribute 'forget_everything'"):
        _ = obliviate.forget_everything  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_does_not_import_torch() -> None:
    check = "import sys, obliviate; assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_to_train_a_model_imports_nothing_that_only_an_audit_needs() -> None:
    check = (
        "import sys, obliviate; obliviate.train; audit = {'scipy.stats', 'sklearn', 'matplotlib', 'jinja2', 'pandas'}"
    )
    subprocess.run([sys.executable, "-c", f"{check}; assert not audit & set(sys.modules)"], check=True)


def test_the_version_is_that_of_the_distribution() -> None:
    assert obliviate.__version__ == version("obliviate")


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "obliviate", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{obliviate.__version__}\n", "")


def test_the_page_of_public_names_is_current() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page == make_api.page(), "run `python scripts/make_api.py`"


def blocks_of(page: Path) -> list[str]:
    """The Python code of a page, without the prompts and what is printed."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return ["\n".join(re.findall(r"^(?:>>>|\.\.\.) ?(.*)$", code, re.M)) if ">>> " in code else code for code in blocks]


def imports_of(code: str) -> list[tuple[str, str | None]]:
    """What code takes of the package: (module, name), or (module, None) for a whole module."""
    taken: list[tuple[str, str | None]] = []
    for statement in ast.walk(ast.parse(code)):
        match statement:
            case ast.Import():
                taken += [(alias.name, None) for alias in statement.names]
            case ast.ImportFrom():
                taken += [(str(statement.module), alias.name) for alias in statement.names]
            case ast.Attribute(value=ast.Name(id="ob"), attr=name):
                taken.append(("obliviate", name))
    return [(module, name) for module, name in taken if module.split(".")[0] == "obliviate"]


def is_public(module: str, name: str | None) -> bool:
    """Whether the name is on one of the lists, or is one of the modules that have such a list."""
    if f"{module}.{name}" in EXTENSIONS or (module in EXTENSIONS and name is None):
        return True
    listed = importlib.import_module(module).__all__ if module in ("obliviate", *EXTENSIONS) else []
    return name in listed or (module, name) in {("obliviate", None), ("obliviate", "__version__")}


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_users_read_imports_nothing_private(path: Path) -> None:
    codes = blocks_of(path) if path.suffix == ".md" else [path.read_text(encoding="utf-8")]
    taken = [imported for code in codes for imported in imports_of(code)]
    assert [imported for imported in taken if not is_public(*imported)] == []


def test_imports_are_found_and_private_ones_told() -> None:
    """The test above is one that can fail."""
    code = "import obliviate as ob\nfrom obliviate.methods import SGD\nfrom obliviate.workflow import tune\nob.Wrong()"
    private = [imported for imported in imports_of(code) if not is_public(*imported)]
    assert private == [("obliviate.workflow", "tune"), ("obliviate", "Wrong")]
    assert sum(bool(imports_of(code)) for page in PAGES for code in blocks_of(page)) > 15


def functions(name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A public function, or the public methods of a public class that are written in this package."""
    value = getattr(obliviate, name)
    if not inspect.isclass(value):
        yield name, value
        return
    for attribute in [*(key for key in dir(value) if not key.startswith("_")), "__call__"]:
        method = getattr(value, attribute, None)
        if (
            inspect.isroutine(method)
            and callable(method)
            and (inspect.getmodule(method) or sys).__name__.startswith("obliviate")
        ):
            yield f"{name}.{attribute}", method


def test_no_public_function_has_more_than_eight_parameters() -> None:
    counts = {
        called: len([parameter for parameter in inspect.signature(function).parameters if parameter != "self"])
        for name in obliviate.__all__
        for called, function in functions(name)
    }
    assert {"unlearn", "Session.forget", "Run.fit", "AMUN.__call__"} <= set(counts)
    assert {called: count for called, count in counts.items() if count > 8} == {}
