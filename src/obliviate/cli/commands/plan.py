"""The command that tells what a request would cost, or a year of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from obliviate._util.files import write_atomically
from obliviate.cli.app import app
from obliviate.cli.arguments import Json, written
from obliviate.cli.commands.project import HERE, Folder
from obliviate.cli.printing.console import print_line
from obliviate.cli.printing.costs import print_costs
from obliviate.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obliviate.project.units import Units

SAMPLES: Final = 50_000
"""Training samples, where nothing is measured and nobody says how many there are."""


@Parameter(name="*")
@dataclass(frozen=True)
class SimulationOptions:
    """What a simulated year is told of; what is left out is of the project's policy, or as of `project.simulation`."""

    simulate: Annotated[
        bool, Parameter(negative="", help="Simulate a year of requests by each way to serve them, and compare costs.")
    ] = False
    rate: Annotated[float | None, Parameter(help="Requests a month, which come at random; 10 if left out.")] = None
    months: Annotated[int | None, Parameter(converter=written, help="How long; 12 months if left out.")] = None
    sizes: Annotated[
        str | None, Parameter(help="Samples of a request, with commas between sizes of equal chance: 1,5,20; or 1.")
    ] = None
    samples: Annotated[
        int | None,
        Parameter(
            converter=written,
            help="Training samples at the beginning; those that were measured on, or 50,000, if left out.",
        ),
    ] = None
    growth: Annotated[
        float | None, Parameter(help="What comes to the training set a month, as a share of its first size; 0.")
    ] = None
    shards: Annotated[int | None, Parameter(converter=written, help="Shards of SISA; 5 if left out.")] = None
    slices: Annotated[int | None, Parameter(converter=written, help="Slices of a shard; 10 if left out.")] = None
    batch: Annotated[
        int | None, Parameter(converter=written, help="Requests of a batch at most; that of the policy if left out.")
    ] = None
    days: Annotated[
        float | None, Parameter(help="Days that a request may wait for others; those of the policy if left out.")
    ] = None
    method: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="An approximate method, may be repeated; those of the policy if left out, or all."),
    ] = ()
    teachers: Annotated[
        int | None, Parameter(converter=written, help="Teachers of a method that learns from such; 8 if left out.")
    ] = None
    renew: Annotated[
        int | None,
        Parameter(converter=written, help="Months after which teachers are trained anew; never if left out."),
    ] = None
    audited: Annotated[
        bool,
        Parameter(
            negative="",
            help="Add the audits of approximate methods: references once, retrained models for every run; as many as "
            "the project plans, or 16 and 3.",
        ),
    ] = False
    seed: Annotated[int | None, Parameter(converter=written, help="Seed of the simulation; 0 if left out.")] = None
    out: Annotated[
        Path | None, Parameter(help="A folder of `obliviate train` to measure costs in, in place of a project.")
    ] = None
    csv: Annotated[Path | None, Parameter(help="Also write the table as CSV.")] = None
    plot: Annotated[Path | None, Parameter(help="Also draw the cumulated costs, as SVG.")] = None


NOTHING: Final = SimulationOptions()


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
    simulation: SimulationOptions = NOTHING,
    json_: Json = False,
) -> None:
    """Tell what a request would cost, or a year of them (--simulate), by measurements; nothing is filed."""
    if simulation.simulate:
        if forget is not None:
            raise ProjectError(
                "expected a request or --simulate, got both; a simulation draws its own requests, leave out one"
            )
        _simulate(project, simulation, json_=json_)
        return
    if simulation != NOTHING:
        raise ProjectError("expected --simulate beside the options of a simulation, got none; add it")
    from obliviate.project import Project

    costs = Project.open(project).plan(forget, unknown=unknown)
    if json_:
        print_line(json.dumps(costs.to_dict(), allow_nan=False))
    else:
        print_costs(costs)


def _simulate(project: Path, options: SimulationOptions, *, json_: bool) -> None:
    """Simulate a year, and print, write and draw it."""
    from obliviate.project.simulation import Year, simulate

    units, policy, methods = _units(project, options)
    asked = {
        name: value
        for name in ("rate", "months", "growth", "shards", "slices", "batch", "days", "teachers", "renew", "seed")
        if (value := getattr(options, name)) is not None
    }
    audits = {"references": 16, "retrained": 3} | {
        name: policy.pop(name) for name in ("references", "retrained") if name in policy
    }
    sizes = {} if options.sizes is None else {"sizes": _sizes(options.sizes)}
    year = Year(**{**policy, **(audits if options.audited else {}), **asked, **sizes})
    simulation = simulate(units, year, methods=options.method or methods)
    drawn = simulation.to_svg() if options.plot is not None else ""
    if options.csv is not None:
        simulation.to_csv(options.csv)
    if options.plot is not None:
        write_atomically(options.plot, lambda temporary: temporary.write_text(drawn, encoding="utf-8"))
    print_line(json.dumps(simulation.to_dict(), allow_nan=False) if json_ else str(simulation))


def _units(project: Path, options: SimulationOptions) -> tuple[Units, dict[str, float], Sequence[str] | None]:
    """What costs are measured on, the policy by the names of `Year`, and the methods of a project."""
    from obliviate.project.config import FILE
    from obliviate.project.units import EXACT, Units

    if options.out is not None:
        if project != HERE:
            raise ProjectError("expected --project or --out to measure costs in, got both; leave out one")
        return Units.measured(options.out, samples=options.samples), {}, None
    if project == HERE and not (project / FILE).exists():
        return Units.shipped(samples=SAMPLES if options.samples is None else options.samples), {}, None
    from obliviate.project import Project

    opened = Project.open(project)
    config = opened.config
    units = Units.measured(opened.workspace, samples=options.samples)
    policy: dict[str, float] = {
        "batch": config.batch, "days": config.days, "references": config.references, "retrained": config.retrained
    }  # fmt: skip
    tried = [name for name in config.methods if name not in EXACT and name in units.methods]
    return units, policy, tried


def _sizes(text: str) -> tuple[int, ...]:
    """Read sizes with commas between them; raises ProjectError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise ProjectError(f"expected whole numbers with commas between them, got {text!r:.60}; correct --sizes")
    return tuple(map(int, parts))
