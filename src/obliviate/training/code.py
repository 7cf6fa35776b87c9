"""Functions of the user's own: their names, whether other processes can import them, and what their code is."""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import re
import textwrap
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

from obliviate._util.imports import imported
from obliviate.errors import RecipeError

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def name_of(function: Callable[..., Any]) -> str:
    """Return "module:name" of a function or class, and of the class of another callable object.

    >>> from torch import nn
    >>> name_of(nn.Linear)
    'torch.nn.modules.linear:Linear'
    """
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def written_name(function: str | Callable[..., Any]) -> str:
    """Return a name as it is written down: a text as it is, "module:name" of anything else (`name_of`)."""
    return function if isinstance(function, str) else name_of(function)


def importable(function: str | Callable[..., Any]) -> bool:
    """Whether another process finds a function by its name: a module holds it, other than the main script."""
    module, _, name = written_name(function).partition(":")
    return module != "__main__" and "<" not in name


def called(path: str | Callable[..., Any], *, what: str) -> Callable[..., Any]:
    """Find the function that "module:name" names; raises RecipeError where there is nothing of that name to call."""
    if not isinstance(path, str):
        return path
    try:
        function = imported(path)
    except ImportError as error:
        raise RecipeError(
            f"expected an importable {what}, got {path!r} ({error}); install its package, run from its "
            "folder, or name what is in it"
        ) from error
    if not callable(function) or inspect.isclass(function):
        raise RecipeError(f"expected {what} to be a function, got {type(function).__name__} {path!r}; name a function")
    return function


def code_sha256(function: Callable[..., Any]) -> str:
    """Hash what a function is: its source, its defaults and what it closes over; of another object, its state too.

    Functions that it calls are not looked into. Raises RecipeError for an object whose state cannot be written down.

    >>> def double(x, times=2):
    ...     return times * x
    >>> before = code_sha256(double)
    >>> double.__defaults__ = (3,)
    >>> code_sha256(double) == before
    False
    """
    parts: list[str] = []
    while isinstance(function, functools.partial):
        parts.append(_state(function.args, function) + _state(function.keywords, function))
        function = function.func
    if not hasattr(function, "__qualname__"):  # an object that can be called
        parts.append(_state(function, function))
        function = type(function)
    parts.append(_source(function))
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    for value in (getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None), cells):
        parts.append(_ADDRESS.sub("", repr(value)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def where(error: BaseException) -> str:
    """Say what an error of the user's code is and where it was raised: 'ValueError: no (my_code.py, line 3, in f)'.

    >>> try:
    ...     int("x")
    ... except ValueError as error:
    ...     where(error).partition(" (")[0]
    "ValueError: invalid literal for int() with base 10: 'x'"
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"


@functools.cache
def _source(function: Callable[..., Any]) -> str:
    """The source as it was when it was first asked for: a file that is edited since is not what runs here."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed into a console, or built in
        code = getattr(function, "__code__", None)
        return _compiled(code) if isinstance(code, CodeType) else name_of(function)


def _compiled(code: CodeType) -> str:
    constants = [_compiled(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _state(value: object, function: Callable[..., Any]) -> str:
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=4)).hexdigest()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RecipeError(
            f"expected a function, or an object that can be pickled, got {name_of(function)} ({error}); write a "
            "function at the top level of a module"
        ) from error
