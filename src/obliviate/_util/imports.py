"""Find what a user names as "module:name"."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def imported(path: str) -> Any:
    """Import what "module:name" names; a name may have dots in it.

    Raises ImportError, with the reason, where there is nothing of that name.

    >>> imported("concurrent.futures:Executor.submit").__name__
    'submit'
    """
    module, _, name = path.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
    except (AttributeError, TypeError, ValueError) as error:
        raise ImportError(str(error)) from error
    return value


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Let packages seem to be missing while others are imported that would load them, and can do without.

    Those that are imported already stay. For a process with one purpose: what was imported meanwhile goes on without
    them, and so do imports of other threads meanwhile.

    >>> with left_out("wsgiref"):
    ...     import wsgiref
    Traceback (most recent call last):
    ...
    ModuleNotFoundError: import of wsgiref halted; None in sys.modules
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
