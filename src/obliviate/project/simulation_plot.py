"""The cumulated cost of ways to serve requests, as one SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib import rc_context

from obliviate.report.style import INK, ORIGINAL, RETRAINED, RULE, UNLEARNED
from obliviate.report.svg import RC, new_figure, short
from obliviate.report.svg import svg as svg_text

if TYPE_CHECKING:
    from obliviate.project.simulation import Simulation

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 460, 70, 290, 40, 50  # CSS pixels
APART: Final = 17 / (HEIGHT - TOP - BOTTOM)
"""The least distance of two names, as a share of the height."""
DAYS: Final = 30.0


@rc_context(RC)
def svg(simulation: Simulation) -> str:
    """Draw a line a way that climbs where something is paid, dashed where requests are served in batches."""
    figure, axes = new_figure(WIDTH, HEIGHT, left=LEFT, right=RIGHT, top=TOP, bottom=BOTTOM)
    seconds = simulation.units.seconds
    scale = 1.0 if seconds is None else seconds / 3600
    last = max([simulation.year.end, *(day for way in simulation.ways for day, _ in way.spent)]) / DAYS
    names = list(dict.fromkeys(way.name for way in simulation.ways))
    others = [name for name in names if name not in {"retrain", "sisa"}]
    fixed = {"retrain": ORIGINAL, "sisa": RETRAINED}
    highest = max((way.cost * scale for way in simulation.ways), default=0.0) or 1.0
    ends = []
    for way in simulation.ways:
        colour = fixed.get(way.name) or UNLEARNED[others.index(way.name) % len(UNLEARNED)]
        days, costs = [0.0], [0.0]
        for day, cost in way.spent:
            days.append(day / DAYS)
            costs.append(costs[-1] + cost * scale)
        axes.step(
            [*days, last], [*costs, costs[-1]], where="post", color=colour, linewidth=1.8,
            linestyle="-" if way.served == "at once" else (0, (4, 2)),
        )  # fmt: skip
        ends.append((costs[-1] / highest, way, colour))
    place = -1.0
    for end, way, colour in sorted(ends, key=lambda row: (row[0], row[1].label)):
        place = max(end / 1.05, place + APART)
        axes.annotate(
            short(way.label, 34), (1, place), (8, 0), xycoords="axes fraction", textcoords="offset points",
            color=colour, va="center", annotation_clip=False, parse_math=False,
        )  # fmt: skip
    axes.set(xlim=(0, last), ylim=(0, 1.05 * highest), xlabel="months")
    axes.set_ylabel("retrainings" if seconds is None else "hours of training")
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    title = f"{len(simulation.requests):,} requests in {simulation.year.months} months"
    axes.set_title(title, loc="left", color=INK, fontsize=13, fontweight="bold")
    return svg_text(figure, "simulation")
