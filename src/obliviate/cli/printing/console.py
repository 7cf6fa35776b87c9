"""The terminal that is printed to, lines, and rows of tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDEST: Final = 120  # columns of running text


def print_line(text: str) -> None:
    """Print one line as it is."""
    sys.stdout.write(f"{text}\n")


def add_row(table: Table, *cells: str | Text) -> None:
    """Add a row of texts as they are: what a user calls a model, a class or an owner may look like markup."""
    from rich.text import Text

    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def new_console() -> Console:
    """A console as wide as the terminal, and wide enough for every table where there is none."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDEST
    return console
