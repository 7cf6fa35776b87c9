"""The methods in the order of how near they came to retraining, for a request."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from obliviate.advice.cells import REQUESTS, TASKS, Cell, read_cells
from obliviate.errors import ReportError
from obliviate.results.tabular import Record, Table, Tabular

BY: Final[Mapping[str, tuple[str, Callable[[Cell], float | None]]]] = {
    "gap": ("average gap ÷ floor", lambda cell: cell.far),
    "margins": ("margins ÷ floor", lambda cell: cell.margins),
    "u-lira": (
        "U-LiRA, points from chance",
        lambda cell: None if cell.u_lira_auc is None else abs(cell.u_lira_auc - 50),
    ),
}
"""What methods may be judged by, with its words: the smaller the better."""
NOT_METHODS: Final = ("original", "retrained")
NEAR: Final = 2.0
"""A multiple of the floor that can be recommended without a word of warning."""
CONSISTENT: Final = "consistent with retraining"
LOST: Final = "utility lost"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a method stood: its figure on each ground, what it costs, and its verdicts.

    `distance` is the geometric mean over grounds of the mean over cells (for U-LiRA the mean); `cost` is in percent of
    a retraining.
    """

    method: str
    distance: float
    by_ground: Mapping[str, float]
    cost: float | None
    verdicts: Mapping[str, int]

    @property
    def nearest(self) -> float:
        return min(self.by_ground.values())

    @property
    def farthest(self) -> float:
        return max(self.by_ground.values())

    @property
    def cells(self) -> int:
        return sum(self.verdicts.values())


@dataclass(frozen=True, kw_only=True)
class Advice(Tabular):
    """The methods in the order in which to try them; `str`, `to_frame` and `to_csv` show them.

    `standings` begin with the best of those that were measured on most grounds, kept the utility and are not too dear;
    `passed_over` has the others with the reason.
    """

    keys: ClassVar[tuple[str, ...]] = ("method",)
    request: str
    share: float
    retain_set: bool
    by: str
    grounds: Sequence[str]
    standings: Sequence[Standing]
    passed_over: Mapping[str, str]

    @property
    def first(self) -> Standing | None:
        """What to try first; None if no method can be recommended."""
        return self.standings[0] if self.standings else None

    def records(self) -> list[Record]:
        return [
            {
                "method": standing.method,
                "distance": standing.distance,
                "nearest": standing.nearest,
                "farthest": standing.farthest,
                "grounds": len(standing.by_ground),
                "cells": standing.cells,
                "cost": standing.cost,
                "consistent": standing.verdicts.get(CONSISTENT, 0),
                "utility_lost": standing.verdicts.get(LOST, 0),
            }
            for standing in self.standings
        ]

    def table(self) -> Table:
        """Distances with the least and the greatest of a ground, the best first, and what to do below."""
        rows = [
            (
                standing.method,
                _ranged(standing),
                "" if standing.cost is None else f"{standing.cost:.0f}",
                str(len(standing.by_ground)),
                ", ".join(f"{count} × {verdict}" for verdict, count in standing.verdicts.items()),
            )
            for standing in self.standings
        ]
        heads = ("method", BY[self.by][0], "cost, %", "grounds", "verdicts")
        return Table(heads=heads if rows else (), rows=rows, notes=[*self._notes()])

    def _notes(self) -> Iterable[str]:
        asked = f"{self.share:.3g} of the samples" if self.request == "random" else self.request
        retained = "with" if self.retain_set else "without"
        yield f"Measured for requests of this kind ({asked}, {retained} the retain set) on {', '.join(self.grounds)}."
        if self.first is None:
            yield "No approximate method can be recommended: use `--method retrain`, or `sisa` for the next model."
        else:
            retain = "" if self.retain_set else " --no-retain"
            name, variant, _ = f"{self.first.method} ".partition(" ")
            tuned = " --tune" if "tuned" in variant + self.first.method else ""
            yield f"Try first: obliviate unlearn --method {name}{retain}{tuned}"
            if self.by != "u-lira" and self.first.farthest > NEAR:
                yield (
                    f"Where it came least near it was {self.first.farthest:.1f} times as far from retraining as "
                    "retrained models are: audit, choose its settings by --tune, and retrain where that does not do."
                )
        if self.passed_over:
            reasons: dict[str, list[str]] = {}
            for method, reason in self.passed_over.items():
                reasons.setdefault(reason, []).append(method)
            yield "Left out: " + "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items()) + "."


def advise(
    request: str = "random",
    *,
    share: float = 0.1,
    retain_set: bool = True,
    task: str | None = None,
    budget: float | None = None,
    by: str = "gap",
    cells: Sequence[Cell] | None = None,
) -> Advice:
    """Put the methods in order for a request, by what was measured on requests of its kind.

    Args:
        request: "random", "memorised", "owner" or "class".
        share: the part of the training set to be forgotten, in (0, 1); of requests at random the nearest that was
            measured counts.
        retain_set: whether the retained samples are at hand.
        task: "images", "table" or "texts"; all of them if left out.
        budget: the most that a method may cost, as a share of a retraining.
        by: "gap" (the average gap), "margins" (single samples) or "u-lira" (the strongest attack).
        cells: what was measured; what the package ships if left out.

    Raises ReportError for values out of range, and where nothing like it was measured.

    >>> advise("random", share=0.1).first.method
    'never_seen'
    """
    _check(request, share, task, budget, by)
    figure = BY[by][1]
    alike = [
        cell
        for cell in (read_cells() if cells is None else cells)
        if cell.request == request and task in {None, cell.task}
    ]
    if request == "random" and alike:
        nearest = min({cell.share for cell in alike}, key=lambda measured: abs(math.log(measured / share)))
        alike = [cell for cell in alike if cell.share == nearest]
    measured = [
        cell
        for cell in alike
        if cell.retain_set == retain_set and cell.method not in NOT_METHODS and figure(cell) is not None
    ]
    if not measured:
        about = f"a request of kind {request}" + (f" on {task}" if task else "")
        otherwise = "" if by == "gap" else ", or judge by gap"
        raise ReportError(
            f"expected something that was measured for {about} by {by}, got nothing; ask for another kind or task"
            + otherwise
        )
    standings = [
        _standing(name, [cell for cell in measured if cell.method == name], by)
        for name in sorted({cell.method for cell in measured})
    ]
    most = max(len(standing.by_ground) for standing in standings)
    passed_over = {
        standing.method: reason for standing in standings if (reason := _reason(standing, most, budget)) is not None
    }
    return Advice(
        request=request,
        share=measured[0].share if request == "random" else share,
        retain_set=retain_set,
        by=by,
        grounds=sorted({cell.ground for cell in measured}),
        standings=sorted(
            (standing for standing in standings if standing.method not in passed_over),
            key=lambda standing: (standing.distance, standing.method),
        ),
        passed_over=passed_over,
    )


def _ranged(standing: Standing) -> str:
    """The distance, with the best and the worst ground if there are several."""
    several = f" ({standing.nearest:.1f}–{standing.farthest:.1f})" if len(standing.by_ground) > 1 else ""
    return f"{standing.distance:.1f}{several}"


def _check(request: str, share: float, task: str | None, budget: float | None, by: str) -> None:
    for name, value, known in (("request", request, REQUESTS), ("task", task, (None, *TASKS)), ("by", by, tuple(BY))):
        if value not in known:
            names = ", ".join(choice for choice in known if choice)
            raise ReportError(f"expected {name} of {names}, got {value!r}; name one of them")
    if not 0 < share < 1:
        raise ReportError(f"expected a share between 0 and 1, got {share}; 0.1 is a tenth of the training set")
    if budget is not None and not budget > 0:
        raise ReportError(f"expected a budget above 0, got {budget}; 0.3 is three tenths of a retraining")


def _standing(method: str, cells: Sequence[Cell], by: str) -> Standing:
    figure = BY[by][1]
    grounds: dict[str, list[float]] = {}
    for cell in cells:
        value = figure(cell)
        assert value is not None, "cells without the figure are left out before"
        grounds.setdefault(cell.ground, []).append(value)
    by_ground = {ground: statistics.fmean(values) for ground, values in sorted(grounds.items())}
    mean = statistics.fmean if by == "u-lira" else statistics.geometric_mean
    costs = [cell.cost for cell in cells if cell.cost is not None]
    return Standing(
        method=method,
        distance=mean(by_ground.values()),
        by_ground=by_ground,
        cost=statistics.fmean(costs) if costs else None,
        verdicts=dict(Counter(cell.verdict for cell in cells).most_common()),
    )


def _reason(standing: Standing, most: int, budget: float | None) -> str | None:
    """Why a method is not recommended, None if it may be."""
    if 2 * len(standing.by_ground) < most:
        return f"measured on fewer than half of {most} grounds"
    if 2 * standing.verdicts.get(LOST, 0) >= standing.cells:
        return "utility lost on half of the cells or more"
    if budget is not None and (standing.cost is None or standing.cost > 100 * budget):
        return f"costs more than {budget:.0%} of a retraining"
    return None
