"""An executor that a function of the user's makes, named on a command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from obliviate._util.imports import imported
from obliviate.errors import AuditError
from obliviate.references.jobs import Executor

REMEDY = "name a function without arguments that returns one, as module:function"


@contextmanager
def opened(name: str | None) -> Iterator[Executor | None]:
    """Call the function "module:function" for an executor, and shut it down in the end if it is a context manager.

    None gives None. Raises AuditError where the function cannot be imported or called, or returns no executor.

    >>> with opened("concurrent.futures:ThreadPoolExecutor") as executor:
    ...     executor.submit(sum, [1, 2]).result()
    3
    """
    if name is None:
        yield None
        return
    returned = _returned_by(name)
    with returned if isinstance(returned, AbstractContextManager) else nullcontext(returned) as executor:
        if not isinstance(executor, Executor):
            raise AuditError(f"expected an executor with `submit`, got {type(executor).__name__} from {name}; {REMEDY}")
        yield executor


def _returned_by(name: str) -> Any:
    try:
        make: Callable[[], Any] = imported(name)
    except ImportError as error:
        raise AuditError(
            f"expected an executor, got {name!r}, which cannot be imported ({error}); {REMEDY}, and run from "
            "its folder or install its package"
        ) from error
    if not callable(make):
        raise AuditError(f"expected an executor, got {name!r}, which is no function; {REMEDY}")
    try:
        return make()
    except Exception as error:  # whatever a cluster's client raises
        raise AuditError(
            f"expected an executor, got a failure of {name} ({type(error).__name__}: {error}); {REMEDY}"
        ) from error
