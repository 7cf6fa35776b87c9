"""Make the page of public names, `docs/api.md`, from the list of them and from what each says of itself.

python scripts/make_api.py
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any, Final

import obliviate

DOCS: Final = Path(__file__).parents[1] / "docs"

ROOMS: Final = {
    "experiment": "Use cases",
    "workflow": "Use cases",
    "estimator": "Use cases",
    "comparison": "Use cases",
    "plans": "Use cases",
    "inspection": "Use cases",
    "project": "Use cases",
    "methods": "Methods",
    "data": "Samples and what to forget",
    "task": "Tasks",
    "training": "Training",
    "audit": "Audit and report",
    "report": "Audit and report",
    "canaries": "Tests that are planned before training",
    "errors": "Errors",
}
"""The part of the page that names of each room stand in; parts come in this order."""

EXTENSIONS: Final = (
    "obliviate.models",
    "obliviate.tracking",
    "obliviate.oracles",
    "obliviate.methods",
    "obliviate.testing",
    "obliviate.membership",
    "obliviate.membership.checks",
)
"""Modules whose `__all__` is public too: adapters for models and trackers of other packages, oracles, and what their
methods and attacks are made of and tested by."""

INTRODUCTION: Final = """# Public names

`import obliviate as ob` has the names below, each imported when it is first used. They are listed in one place,
[`__init__.pyi`](../src/obliviate/__init__.pyi), a line each; `__all__`, type checkers and this page, which
`python scripts/make_api.py` makes, follow from it.
Every one has an example in its docstring, which runs as a test: `help(ob.train)`.
The package is typed (`py.typed`); `ob.__version__` is its version.
[Modules of their own](#modules-for-other-packages) serve models, trackers, methods and attacks of other packages.
What stands on neither list may change without notice.
"""


def page() -> str:
    """The page: a table for each part, then the modules for other packages."""
    parts: dict[str, list[str]] = {title: [] for title in ROOMS.values()}
    for name in obliviate.__all__:
        value = getattr(obliviate, name)
        parts[ROOMS[value.__module__.split(".")[1]]].append(_row(name, value))
    tables = [_table(f"## {title}", rows) for title, rows in parts.items()]
    modules = [importlib.import_module(module) for module in EXTENSIONS]
    text = "\n".join([INTRODUCTION, *tables, "## Modules for other packages\n", *map(_module, modules)])
    return text.replace("pathlib._local.", "pathlib.")  # where Python 3.13 says that it is


def _module(module: Any) -> str:
    rows = [_row(name, getattr(module, name)) for name in module.__all__]
    return _table(f"### {module.__name__}\n\n{_summary(module)}", rows)


def _table(heading: str, rows: list[str]) -> str:
    return "\n".join([f"{heading}\n", "| name | what it is |", "|---|---|", *rows]) + "\n"


def _row(name: str, value: Any) -> str:
    called = inspect.isfunction(value)
    return f"| `{name}{'()' if called else ''}` | {_summary(value)} |"


def _summary(value: Any) -> str:
    """The first sentence of the docstring, or what a plain value is made of."""
    if isinstance(value, tuple):
        return ", ".join(f"`{item.__name__}`" for item in value)
    if isinstance(value, type) and not value.__module__.startswith("obliviate"):  # another name of a type
        return f"`{value.__name__}`"
    if not (inspect.isfunction(value) or inspect.isclass(value) or inspect.ismodule(value)):
        return f"`{value}`".replace("typing.", "").replace("collections.abc.", "").replace("|", "\\|")
    text = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z`])", text)[0].replace("|", "\\|")


if __name__ == "__main__":
    (DOCS / "api.md").write_text(page(), encoding="utf-8")
