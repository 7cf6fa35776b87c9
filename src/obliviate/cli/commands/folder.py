"""`obliviate report` and `obliviate status`: what a folder holds."""

from __future__ import annotations

import json

from obliviate.cli.app import app
from obliviate.cli.arguments import Json, Out, Request
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.folders import print_status


@app.command
def report(*, out: Out, request: Request = None) -> None:
    """Write report.html again from the results of a request."""
    from obliviate.workspace import write_report

    print_line(f"Wrote {write_report(out, request)}")


@app.command
def status(*, out: Out, json_: Json = False) -> None:
    """Tell what was asked of a folder, which models were made for it, where results lie, and who works there."""
    from obliviate.requests.status import status as read

    folder = read(out)
    if json_:
        print_line(json.dumps(folder, allow_nan=False))
    else:
        print_status(folder)
