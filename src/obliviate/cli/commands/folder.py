"""`obliviate report` and `obliviate status`: what a folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Json, Out, Request
from obliviate.cli.commands.project import HERE, print_project_status
from obliviate.cli.commands.project import Folder as ProjectFolder
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.folders import print_status


@app.command
def report(*, out: Out, request: Request = None) -> None:
    """Write report.html again from the results of a request."""
    from obliviate.workspace import write_report

    print_line(f"Wrote {write_report(out, request)}")


@app.command
def status(
    *,
    out: Annotated[Path | None, Parameter(help="Folder of models, as `obliviate train` makes it.")] = None,
    project: ProjectFolder = HERE,
    due: Annotated[bool, Parameter(negative="", help="Of a project, what is due and not done alone.")] = False,
    json_: Json = False,
) -> None:
    """Tell how a folder (--out) stands, or a project: what was asked, what was made of it, and who works there."""
    if out is None:
        print_project_status(project, due_only=due, json_=json_)
        return
    from obliviate.requests.status import status as read

    folder = read(out)
    if json_:
        print_line(json.dumps(folder, allow_nan=False))
    else:
        print_status(folder)
