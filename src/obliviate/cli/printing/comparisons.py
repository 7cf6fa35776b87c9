"""What `compare` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obliviate.cli.printing.console import add_row, new_console

if TYPE_CHECKING:
    from obliviate.comparison import Comparison, Figure


def print_comparison(comparison: Comparison) -> None:
    """Print what `comparison.compare` returns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    seeds = ", ".join(map(str, comparison.seeds))
    table = Table(
        title=Text(f"{comparison.audits} audits, training seeds {seeds}", "table.title"),
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    for column in ("model", "audits", "FT-AUC", "gap", "test difference"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in comparison.models:
        gap = model.average_gap
        add_row(
            table,
            model.name,
            str(model.audits),
            _figure(model.ft_auc, 1),
            "" if gap is None else _figure(gap, 2),
            _figure(model.test_accuracy, 1, signed=True),
        )
    console = new_console()
    console.print(table)
    for note in comparison.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        "Means over training seeds and their forget sets, with 95 % intervals: of FT-AUC by bootstrap over seeds,\n"
        "forget sets and samples (retrained: over seeds), of the others by Student's t over seeds.",
        highlight=False,
    )


def _figure(estimate: Figure, digits: int, *, signed: bool = False) -> str:
    form = f"{'+' if signed else ''}.{digits}f"
    limits = "" if estimate.low is None else f" ({estimate.low:{form}} to {estimate.high:{form}})"
    return f"{estimate.value:{form}}{limits}".replace("-", "−")
