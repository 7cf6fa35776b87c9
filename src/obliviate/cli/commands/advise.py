"""`obliviate advise`."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Json
from obliviate.cli.printing.console import print_line


@app.command
def advise(
    request: Annotated[str, Parameter(help="What is to be forgotten: random, memorised, owner or class.")] = "random",
    *,
    share: Annotated[float, Parameter(help="The part of the training set to be forgotten, if at random.")] = 0.1,
    retain: Annotated[bool, Parameter(help="Whether the retained samples are at hand.")] = True,
    task: Annotated[
        str | None, Parameter(help="images, table or texts: count only what was measured on such data.")
    ] = None,
    budget: Annotated[
        float | None, Parameter(help="The most that a method may cost, as a share of a retraining.")
    ] = None,
    by: Annotated[
        str,
        Parameter(help="Judge by gap (the average gap), margins (single samples) or u-lira (the strongest attack)."),
    ] = "gap",
    json_: Json = False,
) -> None:
    """Say which methods to try first for a request, by what was measured on the grounds of the leaderboard."""
    from obliviate.advice import advise as run

    advice = run(request, share=share, retain_set=retain, task=task, budget=budget, by=by)
    if json_:
        print_line(json.dumps({"methods": advice.records(), "passed_over": dict(advice.passed_over)}, allow_nan=False))
    else:
        print_line(str(advice))
