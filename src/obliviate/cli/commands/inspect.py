"""`obliviate inspect`."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Json, Out, Pseudonyms, Request, Trust
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.inspections import print_inspection
from obliviate.cli.progress import progress


@app.command
def inspect(
    *,
    out: Out,
    retrained: Annotated[
        int, Parameter(help="Number of retrained models to compare with; those in the folder take part all the same.")
    ] = 3,
    request: Request = None,
    epochs: Annotated[int, Parameter(help="Passes over the retain set that each copy relearns from.")] = 3,
    learning_rate: Annotated[
        float | None, Parameter(help="Learning rate of relearning; a tenth of the recipe's if left out.")
    ] = None,
    trust: Trust = False,
    pseudonyms: Pseudonyms = None,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Look into every model of a request: relearning from retained samples, a last-layer probe, an untrained model."""
    from obliviate.workspace import Workspace

    with compute.used(), progress(quiet=json_) as show_progress:
        workspace = Workspace.open(out, progress=show_progress, trust=trust, pseudonyms=pseudonyms)
        results = workspace.inspect(retrained=retrained, request=request, epochs=epochs, learning_rate=learning_rate)
        place = workspace.place(request)
    if json_:
        print_line(json.dumps(results, allow_nan=False))
    else:
        print_inspection(results, place.inspection)
