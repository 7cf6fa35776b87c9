"""The command line: arguments, progress and tables only; the work is in `workspace` and `demo`.

Heavy modules are imported when a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from obliviate._util.files import LOG
from obliviate.cli.commands import app
from obliviate.errors import ObliviateError

__all__ = ["app", "main"]


class Notes(logging.Handler):
    """Writes what the package says in its log to wherever standard error goes just then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(f"note: {record.getMessage()}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; mistakes that a user can mend are printed without a traceback, with exit code 1."""
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)  # so that `--model module:function` finds a module of this folder
    notes = Notes(logging.WARNING)
    LOG.addHandler(notes)
    try:
        app(arguments)
    except ObliviateError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; run the same command again to go on where it stopped\n")
        raise SystemExit(130) from None
    finally:
        LOG.removeHandler(notes)
