"""Executors by name: local processes, the engines Ray, Dask and Slurm, and a function of the user's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, Final

from obliviate._util.imports import imported
from obliviate.errors import AuditError
from obliviate.references.executors.protocol import Executor

PROCESSES: Final = "processes"
ENGINES: Final = {"ray": "ray", "dask": "distributed", "slurm": "submitit"}
"""The package that each engine needs; its module here and its extra are called as the engine is."""
SCHEMES: Final = {"ray": "ray", "tcp": "dask", "tls": "dask"}
"""The engine that an address belongs to, by how it begins."""
REMEDY: Final = "name a function without arguments that returns one, as module:function"


@contextmanager
def opened(name: str | None) -> Iterator[Executor | None]:
    """Open the executor of this name, and close in the end what was opened.

    None and "processes" give None: local processes work. "ray", "dask" and "slurm" open the engine, at an address or
    with settings where these are given: "ray://HOST:PORT", "tcp://HOST:PORT" and "tls://HOST:PORT" (Dask),
    "slurm:partition=gpu,timeout_min=60". Any other name is that of a function, "module:function", which is called for
    an executor; one that is a context manager is shut down in the end.

    Raises AuditError for an unknown name, an engine that is not installed or cannot be reached, and a function that
    cannot be imported or called or returns no executor.

    >>> with opened("concurrent.futures:ThreadPoolExecutor") as executor:
    ...     executor.submit(sum, [1, 2]).result()
    3
    """
    if name is None or name == PROCESSES:
        yield None
        return
    with _asked_for(name) as executor:
        if not isinstance(executor, Executor):
            raise AuditError(f"expected an executor with `submit`, got {type(executor).__name__} from {name}; {REMEDY}")
        yield executor


def _asked_for(name: str) -> AbstractContextManager[Any]:
    engine, where = _engine_of(name)
    if engine is not None:
        return _module_of(engine).opened(where)
    if ":" not in name:
        raise AuditError(
            f"expected an executor of {', '.join([PROCESSES, *ENGINES])}, or module:function, got {name!r}; name one"
        )
    returned = _returned_by(name)
    return returned if isinstance(returned, AbstractContextManager) else nullcontext(returned)


def _engine_of(name: str) -> tuple[str | None, str]:
    """The engine that a name asks for, None for a function of the user's, and at which address or how set."""
    scheme, slashes, _ = name.partition("://")
    if slashes and scheme in SCHEMES:
        return SCHEMES[scheme], name
    engine, _, settings = name.partition(":")
    if name in ENGINES or (engine == "slurm" and "=" in settings):
        return engine, settings
    return None, ""


def _module_of(engine: str) -> Any:
    package = ENGINES[engine]
    if find_spec(package) is None:
        raise AuditError(
            f"expected the package {package} for the executor {engine}, got none; pip install 'obliviate[{engine}]'"
        )
    return importlib.import_module(f"obliviate.references.executors.{engine}")


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
