"""Who works on a batch, and whether that process is still there; for leases, which also end by themselves."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def here() -> str:
    """This process by its machine, its number, and when it began, which no later process shares with it."""
    return f"{platform.node()}/{os.getpid()}/{_began(os.getpid()) or ''}"


def is_gone(worker: str) -> bool:
    """Whether a process has certainly ended: of one on another machine, or that cannot be looked at, it is not known.

    >>> is_gone(here()), is_gone("elsewhere/1/0"), is_gone(here() + "1")
    (False, False, True)
    """
    node, _, process = worker.partition("/")
    number, _, began = process.partition("/")
    if node != platform.node() or not number.isdecimal() or not Path("/proc/self/stat").exists():
        return False
    return _began(int(number)) != (began or None)


def _began(number: int) -> str | None:
    """When a process began, in ticks since the machine did; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in {"Z", "X"} else fields[18]
