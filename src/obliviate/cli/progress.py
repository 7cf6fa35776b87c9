"""How far a command is: a bar per stage on a terminal, a line per finished stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from obliviate.training.progress import Progress, silent


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """Show a bar per stage on a terminal, and a line per finished stage elsewhere; nothing when quiet."""
    if quiet:
        yield silent
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<32}", markup=False), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        known: dict[str, TaskID] = {}

        def show(stage: str, done: float, total: float) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
            bars.update(known[stage], completed=done, total=total)

        yield show


def _lines() -> Progress:
    began: dict[str, float] = {}
    finished: set[str] = set()

    def show(stage: str, done: float, total: float) -> None:
        began.setdefault(stage, time.monotonic())
        if done >= total and stage not in finished:
            finished.add(stage)
            sys.stderr.write(f"{stage}: {time.monotonic() - began[stage]:.1f} s\n")
            sys.stderr.flush()

    return show
