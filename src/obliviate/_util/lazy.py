"""Names of a package that are imported when they are first used, as its stub lists them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def by_stub(package: str, init: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a package, as the stub beside it says (SPEC 1 of Scientific Python).

    `package` is its name and `init` the path of its `__init__.py`. The stub holds lines such as
    `from obliviate.workflow.training import train as train`.

    >>> import obliviate
    >>> names, first_use, _ = by_stub("obliviate", obliviate.__file__)
    >>> "AMUN" in names, first_use("AMUN").name
    (True, 'amun')
    """
    stub = ast.parse(Path(init).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [statement for statement in stub.body if isinstance(statement, ast.ImportFrom)]
    modules = {alias.name: str(statement.module) for statement in imports for alias in statement.names}
    names = sorted(modules)

    def first_use(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return names, first_use, lambda: [*names]
