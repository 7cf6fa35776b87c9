"""The command that runs a plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from obliviate.cli.app import app
from obliviate.cli.arguments import PLAIN, ComputeOptions, Executor, Json, Out, Trust
from obliviate.cli.printing.comparisons import print_comparison
from obliviate.cli.printing.console import print_line
from obliviate.cli.progress import progress

if TYPE_CHECKING:
    from obliviate.plans import Outline, PlanResults


@app.command
def run(
    plan: Annotated[Path, Parameter(help="A file of TOML with data, a recipe, forget sets, methods and seeds.")],
    *,
    out: Out,
    workers: Annotated[
        int | None,
        Parameter(help="Processes that work side by side; one per core if left out, 0 for none beside this."),
    ] = None,
    executor: Executor = None,
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Check the plan, say what it would make and about how long, and make nothing."),
    ] = False,
    cell: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Only the cell with this id, and what it rests on; may be given again. `--dry-run --json` lists ids.",
        ),
    ] = (),
    trust: Trust = False,
    compute: ComputeOptions = PLAIN,
    json_: Json = False,
) -> None:
    """Run methods × settings × seeds × forget sets by a plan, and put what came of them in one table."""
    from obliviate.plans import Plan, outline, run_plan
    from obliviate.references.executors.by_name import opened

    with compute.used():
        asked = Plan.read(plan, trust=trust)
        if dry_run:
            planned = outline(asked, folder=out)
            if json_:
                print_line(json.dumps(planned.to_dict()))
            else:
                _print_outline(planned)
            return
        with progress(quiet=json_) as show_progress, opened(executor) as maker:
            results = run_plan(asked, folder=out, workers=workers, executor=maker, only=cell, progress=show_progress)
    if json_:
        print_line(json.dumps(results.to_dict(), allow_nan=False))
    else:
        _print_results(results, None if cell else out)


def _print_outline(planned: Outline) -> None:
    from obliviate.report.wording import duration

    sizes = ", ".join(f"{rule} (draw {draw + 1}): {size:,} samples" for rule, draw, size in planned.sets)
    print_line(f"Would run methods {planned.runs:,} times. Forget sets: {sizes or 'chosen by references'}")
    counts = ", ".join(f"{count:,} {kind}" for kind, count in planned.counts.items() if count)
    print_line(f"To make: {counts}; {planned.done:,} done already")
    print_line(f"About {duration(planned.seconds)} in one process, by the time of a few steps of training")


def _print_results(results: PlanResults, out: Path | None) -> None:
    for table in results.tables:
        print_comparison(table)
    failed = f", {results.failed:,} of them failed" if results.failed else ""
    kept = "" if out is None else f" Open {out / 'table.svg'}; table.csv and table.json lie beside it"
    print_line(f"{results.cells:,} cells{failed}.{kept}")
