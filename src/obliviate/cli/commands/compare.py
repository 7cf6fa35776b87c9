"""`obliviate compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import Json, Request
from obliviate.cli.printing.comparisons import print_comparison
from obliviate.cli.printing.console import print_line


@app.command
def compare(
    *folders: Annotated[Path, Parameter(help="Audited folders that differ in their seeds and forget sets only.")],
    request: Request = None,
    out: Annotated[
        Path | None, Parameter(help="Also write comparison.json, comparison.csv and comparison.svg into this folder.")
    ] = None,
    json_: Json = False,
) -> None:
    """Compare the methods of several audited folders over training seeds and forget sets, with intervals."""
    from obliviate.comparison import compare as run

    results = run(folders, request=request)
    if out is not None:
        results.write(out)
    if json_:
        print_line(json.dumps(results.to_dict(), allow_nan=False))
    else:
        print_comparison(results)
