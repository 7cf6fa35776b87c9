"""Find what a user names as "module:name"."""

from __future__ import annotations

import importlib
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
