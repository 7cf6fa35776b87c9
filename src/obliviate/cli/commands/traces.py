"""The commands that tell what a folder still carries of forgotten samples, and remove it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Json, Request
from obliviate.cli.printing.console import new_console, print_line
from obliviate.errors import WorkspaceError

if TYPE_CHECKING:
    from obliviate.traces import Trace

Folder = Annotated[Path, Parameter(help="A folder that `obliviate train` or `obliviate demo` made.")]


@app.command
def inventory(folder: Folder, *, request: Request = None, json_: Json = False) -> None:
    """List every file of a folder, and whether it holds, knows or names samples that were to be forgotten."""
    from obliviate.traces import inventory as look

    traces = look(folder, request=request)
    if json_:
        print_line(json.dumps([trace.to_dict() for trace in traces]))
    else:
        _print(traces)


@app.command
def purge(
    folder: Folder,
    *,
    request: Request = None,
    keep: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Kinds of files that stay all the same: original, models, checkpoints, references, teachers, work, "
            "pictures; may be given several times.",
        ),
    ] = (),
    yes: Annotated[bool, Parameter(negative="", help="Remove the files that are listed, without asking.")] = False,
    json_: Json = False,
) -> None:
    """Remove from a folder what still carries forgotten samples; lists it first, and asks."""
    from obliviate.traces import purge as remove
    from obliviate.traces import purgeable

    planned = purgeable(folder, request=request, keep=keep)
    if not json_:
        _print(planned.removed)
        for text in planned.consequences:
            print_line(f"note: {text}")
    if planned.removed and not (yes or _agreed()):
        raise WorkspaceError(
            f"expected a yes to remove {len(planned.removed):,} files from {folder}, got none; say --yes"
        )
    done = remove(folder, request=request, keep=keep) if planned.removed else planned
    if json_:
        print_line(json.dumps(done.to_dict()))
    else:
        count = len(done.removed)
        print_line(f"Removed what {count:,} files had of forgotten samples" if count else "Nothing to remove")


def _agreed() -> bool:
    """Whether somebody at the terminal says yes."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("Remove them? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _print(traces: Sequence[Trace]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from obliviate.traces.inventory import WORDS

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("file", "KB", "kind", "of forgotten samples", "how many"):
        table.add_column(heading, justify="right" if heading in {"KB", "how many"} else "left", overflow="fold")
    for trace in traces:
        count = "" if trace.samples is None else f"{trace.samples:,}"
        cells = (trace.path, f"{trace.bytes / 1000:,.1f}", trace.kind, WORDS[trace.carries], count)
        table.add_row(*map(Text, cells))
    new_console().print(table)
