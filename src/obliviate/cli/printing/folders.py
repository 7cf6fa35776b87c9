"""What `status` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obliviate.cli.printing.console import add_row, new_console


def print_status(folder: Mapping[str, Any]) -> None:
    """Print what `requests.status` says: who works there, each request with its models, and what was refused last."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = new_console()
    if folder["holder"] is not None:
        console.print(f"In use by {folder['holder']}.", markup=False, highlight=False)
    console.print(folder["original"] or "No model is trained yet.", markup=False, highlight=False)
    for request in folder["requests"]:
        after = f", after {request['after']}" if request["after"] else ""
        noun = "sample" if request["forget"] == 1 else "samples"
        title = f"Request {request['number']}: {request['forget']:,} {noun} ({request['rule']}){after}"
        console.print(f"\n{title}", markup=False, highlight=False)
        table = Table(box=SIMPLE_HEAD, padding=(0, 1))
        for heading in ("id", "model", "role", "seconds"):
            table.add_column(heading, justify="right" if heading == "seconds" else "left", no_wrap=heading == "id")
        for model in request["models"]:
            add_row(table, model["id"], model["label"], model["role"], f"{model['seconds']:.1f}")
        if request["models"]:
            console.print(table)
        else:
            console.print("No model was made for it yet.", highlight=False)
        if request["interrupted"]:
            text = f"Interrupted: {', '.join(request['interrupted'])}; run the same command again to go on."
            console.print(text, markup=False)
        for name in ("report", "inspection"):
            if request[name] is not None:
                console.print(f"{name}: {request[name]}", markup=False, highlight=False, soft_wrap=True)
    if refused := [event for event in folder["events"] if event["event"] == "refused"]:
        console.print(f"\nRefused: {len(refused)}; the last {refused[-1]['time']}:", highlight=False)
        text = f"{refused[-1]['error']}: {refused[-1]['message']}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
