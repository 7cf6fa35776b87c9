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
    about = f"{comparison.title}: " if comparison.title else ""
    table = Table(
        title=Text(f"{about}{comparison.audits} audits, training seeds {seeds}", "table.title"),
        box=SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
    )
    for column in ("model", "audits", "FT-AUC", "gap", "test difference", "cost %", "verdicts"):
        text = column in {"model", "verdicts"}
        table.add_column(column, justify="left" if text else "right", no_wrap=column != "verdicts")
    for model in comparison.models:
        failed = f"{model.failed} × failed" if model.failed else ""
        verdicts = [f"{count} × {_short(verdict)}" for verdict, count in model.verdicts.items()]
        add_row(
            table,
            model.name,
            str(model.audits),
            _figure(model.ft_auc, 1),
            _figure(model.average_gap, 2),
            _figure(model.test_accuracy_difference, 1, signed=True),
            _figure(model.cost, 0),
            ", ".join(filter(None, [*verdicts, failed])),
        )
    console = new_console()
    console.print(table)
    for note in comparison.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        "Means over training seeds and their forget sets, with 95 % intervals: of FT-AUC by bootstrap over seeds,\n"
        "forget sets and samples (retrained: over seeds), of the others by Student's t over seeds. Cost is the time\n"
        "of the method as a share of a retraining.",
        highlight=False,
    )


def _short(verdict: str) -> str:
    """A verdict in the words that tell it from the others."""
    return verdict.partition(" with ")[0]


def _figure(estimate: Figure | None, digits: int, *, signed: bool = False) -> str:
    if estimate is None:
        return ""
    form = f"{'+' if signed else ''}.{digits}f"
    limits = "" if estimate.low is None else f" ({estimate.low:{form}} to {estimate.high:{form}})"
    return f"{estimate.value:{form}}{limits}".replace("-", "−")
