"""`obliviate demo`."""

from __future__ import annotations

import json
from pathlib import Path

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Json, Out, Seed
from obliviate.cli.printing.audits import print_audit
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress


@app.command
def demo(*, out: Out = Path("demo"), seed: Seed = 0, compute: ComputeOptions = PLAIN, json_: Json = False) -> None:
    """Do the whole job on shipped data in two and a half minutes: train, forget by six methods, audit, report."""
    from obliviate.demo import demo as run
    from obliviate.requests import Requests

    with compute.used(), progress(quiet=json_) as show_progress:
        results = run(out, seed=seed, progress=show_progress)
    if json_:
        print_line(json.dumps(results.to_dict(), allow_nan=False))
    else:
        print_audit(results, Requests(out).at(1).report)
