"""What `audit` prints: the verdicts, and the tests that were planned before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from obliviate.cli.printing.console import add_row, new_console

if TYPE_CHECKING:
    from rich.console import Console

    from obliviate.results.record import RecordAudit
    from obliviate.results.schema import CoinFlips, PlantedNoise, Results


def print_audit(results: Results, report: Path) -> None:
    """Print the results of an audit: the verdicts, exact tests where there are any, notes, and where the report is."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from obliviate.report.text import columns, competition, notes, rows

    data = results.data
    title = f"forget {data.forget:,} of {data.train:,} training samples ({data.forget_rule})"
    table = Table(
        title=Text(title, "table.title"), box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False
    )
    heads = columns(results)
    for column in heads:
        text = column in {heads[0], heads[-1]}
        table.add_column(column, justify="left" if text else "right", no_wrap=column == heads[0])
    colours = {"consistent with retraining": "green", "not resolvable with these data": "yellow"}
    for model, (*cells, verdict) in zip(results.models, rows(results), strict=True):
        add_row(table, *cells, Text(verdict, colours.get(model.verdict, "red")))
    console = new_console()
    console.print(table)
    if results.coin_flips is not None:
        _coins(console, results.coin_flips)
    if results.planted_noise is not None:
        _noise(console, results.planted_noise)
    for note in results.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(
        "\n".join([*notes(results), *competition(results)]) + "\n"
        f"{results.wall_seconds:.0f} s, {results.peak_rss_mb:.0f} MB. Open {report}",
        markup=False,
        highlight=False,
    )


def print_record(audit: RecordAudit, report: Path) -> None:
    """Print the audit of one record: ranks and p-values by the leading attacks, and what a verdict would need."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from obliviate.report.record import HEADS, MEANING, attacks, rows, verdict

    console = new_console()
    for attack in attacks(audit):
        title = Text(f"forget one record ({audit.record}): its rank by {attack}", "table.title")
        table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
        for head in HEADS:
            table.add_column(head, justify="left" if head == HEADS[0] else "right")
        for row in rows(audit, attack):
            add_row(table, *row)
        console.print(table)
    for line in (verdict(audit), MEANING, f"Open {report}"):
        console.print(line, markup=False, highlight=False)


def _coins(console: Console, coins: CoinFlips) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    heads, tails = coins.heads, coins.tails
    table = Table(
        title=Text(f"{heads + tails:,} coins, {heads:,} heads", "table.title"), box=SIMPLE_HEAD, padding=(0, 1)
    )
    for column in ("model", "guessed right", "95 %", "p-value"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in coins.models:
        add_row(
            table,
            model.name,
            f"{model.correct:,} ({model.accuracy:.1f} %)",
            f"{model.low:.1f} to {model.high:.1f}",
            f"{model.p_value:.2g}",
        )
    console.print(table)
    console.print(
        "An exact test of each model: retrained ones guess half of the coins. Guesses that are right in 55 % of cases\n"
        f"would be found with {100 * coins.power:.0f} % power at level 5 %.",
        highlight=False,
    )


def _noise(console: Console, noise: PlantedNoise) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"noise planted in {noise.samples:,} samples", "table.title"), box=SIMPLE_HEAD, padding=(0, 1)
    )
    for column in ("model", "mean score", "z", "p-value"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in noise.models:
        signed = (f"{model.mean:+.3f}", f"{model.z:+.2f}")
        add_row(table, model.name, *(cell.replace("-", "−") for cell in signed), f"{model.p_value:.2g}")
    console.print(table)
    console.print(
        "An exact test of each model: the gradient of one that never saw the noise has nothing to do with it, so that\n"
        f"z is standard normal. A mean score of {noise.detectable:.3f} would be found with 80 % power at level 5 %.",
        highlight=False,
    )
