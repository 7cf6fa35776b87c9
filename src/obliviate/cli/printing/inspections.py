"""What `inspect` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from obliviate.cli.printing.console import add_row, new_console


def print_inspection(results: Mapping[str, Any], path: Path) -> None:
    """Print what `Workspace.inspect` returns, and where it is written."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    data, epochs = results["data"], results["epochs"]
    title = f"forget {data['forget']:,} of {data['train']:,} training samples ({data['forget_rule']})"
    table = Table(title=Text(title, "table.title"), box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("model", "forget % by epoch", "ahead", "forget loss", "probe % ± 95 %", "ZRF"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for model in results["models"]:
        curve, probed = model["relearned"], model["probe"]
        add_row(
            table,
            model["name"],
            " → ".join(f"{value:.1f}" for value in curve["accuracy"]),
            "" if curve["ahead"] is None else f"{curve['ahead']:+.1f}".replace("-", "−"),
            f"{curve['loss'][0]:.3f} → {curve['loss'][-1]:.3f}",
            "" if probed is None else f"{probed['value']:.1f} ± {(probed['high'] - probed['low']) / 2:.1f}",
            f"{model['zrf']:.3f}",
        )
    console = new_console()
    console.print(table)
    for note in results["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)
    passes = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    console.print(
        f"forget %: accuracy on the forget set before and in {passes} on retained samples only; ahead: by how many\n"
        "points more than the retrained models. probe: telling forget from unseen samples by the last layer's input.\n"
        "ZRF: 1 where outputs are those of an untrained model. Each means something beside retrained models only.\n"
        f"Wrote {path}",
        markup=False,
        highlight=False,
    )
