"""The command that tells what a request would cost."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Json
from obliviate.cli.commands.project import HERE, Folder
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.costs import print_costs


@app.command
def plan(
    forget: Annotated[
        str | None,
        Parameter(
            help="What would be forgotten, as `obliviate submit` takes it; left out, what waits is looked at alone."
        ),
    ] = None,
    *,
    project: Folder = HERE,
    unknown: Annotated[
        Literal["refuse", "skip"], Parameter(help="What becomes of names that the data do not have.")
    ] = "refuse",
    json_: Json = False,
) -> None:
    """Tell what a request would cost, measured on what this project has done; nothing is filed."""
    from obliviate.project import Project

    costs = Project.open(project).plan(forget, unknown=unknown)
    if json_:
        print_line(json.dumps(costs.to_dict(), allow_nan=False))
    else:
        print_costs(costs)
