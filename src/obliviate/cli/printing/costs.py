"""What `plan` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from obliviate.cli.printing.console import add_row, new_console, print_line

if TYPE_CHECKING:
    from obliviate.project.costs import Cost, Costs


def print_costs(costs: Costs) -> None:
    """Print what `Project.plan` returns: the request in a line, and a row a way to serve it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from obliviate.report.wording import MISSING, duration

    print_line(_request(costs))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("what", "time", "of a retraining", "measured on"):
        table.add_column(heading, justify="left" if heading in {"what", "measured on"} else "right")

    def row(cost: Cost) -> None:
        share = MISSING if cost.share is None else f"{100 * cost.share:,.1f} %"
        add_row(table, cost.what, duration(cost.seconds), share, cost.measured_on)

    for part in (costs.methods, costs.evidence, costs.batches):
        for cost in part:
            row(cost)
        table.add_section()
    new_console().print(table)


def _request(costs: Costs) -> str:
    """What is looked at, in a line."""
    waiting = f"{costs.pending:,} requests wait"
    if costs.kind is None:
        return f"{waiting}; one batch would be for {costs.together:,}"
    if costs.samples == 0:
        return f"nothing is left to do: all of it is forgotten; {waiting}"
    counts = ", ".join(f"{status} {count:,}" for status, count in costs.counts.items())
    what = "a rule, which the worker follows" if costs.samples is None else f"{counts}: {costs.samples:,} samples"
    return f"{what}; nothing was filed; {waiting}, and one batch would be for {costs.together:,}"
