"""The command line: arguments, progress and tables only; the work is in `workspace` and `demo`.

Heavy modules are imported when a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from obliviate._util.files import LOG
from obliviate.cli.commands import app
from obliviate.cli.plans import run
from obliviate.cli.traces import inventory, purge
from obliviate.errors import ObliviateError

__all__ = ["app", "main"]

for command in (run, inventory, purge):
    app.command(command)


class Notes(logging.Handler):
    """Writes what the package says in its log to wherever standard error goes just then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(f"note: {record.getMessage()}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; mistakes that a user can mend are printed without a traceback, with exit code 1."""
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)  # so that `--model module:function` finds a module of this folder
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before the process began
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # where the terminal has no such letters
    notes = Notes(logging.WARNING)
    LOG.addHandler(notes)
    try:
        app(arguments, result_action="return_value")
        sys.stdout.flush()
    except ObliviateError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    except BrokenPipeError:  # whoever read along has seen enough
        _give_up_output()
        raise SystemExit(128 + signal.SIGPIPE) from None
    except (OSError, MemoryError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        where = f" in {error.filename}" if isinstance(error, OSError) and error.filename else ""
        _give_up_output()
        sys.stderr.write(
            f"error: expected files, room and memory for the work, got {reason}{where}; what is finished is kept: "
            "mend the cause, and run the same command again\n"
        )
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; run the same command again to go on where it stopped\n")
        raise SystemExit(130) from None
    finally:
        LOG.removeHandler(notes)
    raise SystemExit(0)


def _give_up_output() -> None:
    """Write no more to a standard output that takes no more, not even when the process ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
