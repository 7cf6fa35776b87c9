"""Make a trained PyTorch model forget chosen training samples, and show with honest statistics how well it did.

The public names stand in `__init__.pyi`, and nowhere else. Each is imported when it is first used, so that
`import obliviate` and the command line answer at once.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any, Final

__version__ = "0.2.0"


def _modules() -> dict[str, str]:
    """The module that each public name is imported from, as the stub says."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [statement for statement in stub.body if isinstance(statement, ast.ImportFrom)]
    modules = {alias.name: str(statement.module) for statement in imports for alias in statement.names}
    return dict(sorted(modules.items()))


_MODULES: Final = _modules()
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]  # which reads the stub


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'obliviate' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
