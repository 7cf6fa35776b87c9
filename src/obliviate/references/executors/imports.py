"""What this process can import, others that it starts can too: a model in a module of the current folder, say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "PYTHONPATH"


@contextmanager
def passed_on() -> Iterator[None]:
    """Have processes that are started inside look for modules where this one does.

    >>> with passed_on():
    ...     set(filter(None, sys.path)) == set(os.environ["PYTHONPATH"].split(os.pathsep))
    True
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
