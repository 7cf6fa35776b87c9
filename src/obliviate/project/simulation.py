"""What a year of requests would cost by each way to serve them: simulated, from the costs of single runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, Final, Literal

import numpy as np

from obliviate._util.seeds import derive
from obliviate.errors import ProjectError
from obliviate.project.units import EXACT, TAUGHT, Unit, Units
from obliviate.report.wording import MISSING, duration
from obliviate.results.tabular import Record, Table, Tabular
from obliviate.training.slicing import slice_epochs

MONTH: Final = 30.0
"""Days."""
MOST: Final = 100_000
"""Requests that are simulated."""

LARGEST: Final = 10**9
"""Training samples that are simulated, and one more: what can be drawn from exactly."""

Served = Literal["at once", "in batches"]


@dataclass(frozen=True, kw_only=True)
class Year:
    """What is asked and by which policy it is served; raises ProjectError for values out of range.

    `rate` requests come a month, at random times, each for one of `sizes` samples with equal chances; the training set
    grows by `growth` of its first size a month. A batch begins when `batch` requests wait, or the first of them has
    waited `days`. SISA has `shards` and `slices`; methods that learn from teachers have so many `teachers`, trained
    before their first run, and anew every `renew` months (0: once). With `references` and `retrained`, the outcome of
    an approximate method is audited: references are trained once, retrained models for every run.

    >>> Year(rate=2.5).months
    12
    """

    months: int = 12
    rate: float = 10.0
    sizes: tuple[int, ...] = (1,)
    growth: float = 0.0
    batch: int = 100
    days: float = 30.0
    shards: int = 5
    slices: int = 10
    teachers: int = 8
    renew: int = 0
    references: int = 0
    retrained: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ProjectError(f"expected {name} of {least} or more, got {getattr(self, name)}; correct --{name}")
        for name in ("rate", "days"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise ProjectError(f"expected {name} above 0, got {value}; correct --{name}")
        if not (math.isfinite(self.growth) and self.growth >= 0):
            raise ProjectError(f"expected growth of 0 or more, got {self.growth}; correct --growth")
        if not self.sizes or min(self.sizes) < 1:
            raise ProjectError(f"expected sizes of 1 sample or more, got {self.sizes}; correct --sizes")
        if self.rate * self.months > MOST:
            raise ProjectError(
                f"expected {MOST:,} requests or fewer, got {self.rate * self.months:,.0f}; simulate fewer --months"
            )

    @property
    def end(self) -> float:
        """How many days it has."""
        return self.months * MONTH

    def requests(self) -> tuple[Asked, ...]:
        """Draw the requests, a function of the seed, in the order of their days.

        >>> [round(asked.day) for asked in Year(rate=1, months=3).requests()]
        [...]
        """
        generator = np.random.default_rng(derive(self.seed, "requests"))
        asked, day = [], 0.0
        while (day := day + generator.exponential(MONTH / self.rate)) < self.end:
            asked.append(Asked(day, int(generator.choice(self.sizes))))
        return tuple(asked)


_LEAST: Final = {
    **dict.fromkeys(("months", "batch", "shards", "slices"), 1),
    **dict.fromkeys(("renew", "references", "retrained"), 0),
    "teachers": 4,
}


@dataclass(frozen=True)
class Asked:
    """A request: on which day it comes, and for how many samples."""

    day: float
    samples: int


@dataclass(frozen=True)
class _Run:
    """A run that serves some requests: when, for how many samples, and how many samples are left to train on then."""

    day: float
    requests: int
    samples: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Way:
    """What a way to serve the requests took.

    `runs` serve requests, `trainings` are models that are trained from the beginning: retrained ones, teachers, those
    of audits; `slices` are trainings of slices that SISA repeats. `spent` has a day and a cost in retrainings for
    each thing that is paid, `longest_wait` is in days, and after `pays_after` requests it is cheaper than retraining at
    once for good; None if it is not in this time, and of that retraining itself.
    """

    name: str
    served: Served
    runs: int
    trainings: int
    slices: int
    spent: tuple[tuple[float, float], ...]
    longest_wait: float
    pays_after: int | None
    measured_on: str

    @property
    def label(self) -> str:
        return f"{self.name}, {self.served}"

    @property
    def cost(self) -> float:
        """In retrainings of the beginning."""
        return sum(cost for _, cost in self.spent)


@dataclass(frozen=True, kw_only=True)
class Simulation(Tabular):
    """What a year of requests would cost, a row a way; `print` shows it, `to_csv`, `to_frame` and `to_svg` hand it on.

    >>> simulation = simulate(Units(samples=1000, seconds=60.0), Year(rate=2))
    >>> [(way.label, way.trainings == way.runs) for way in simulation.ways][:2]
    [('retrain, at once', True), ('retrain, in batches', True)]
    """

    keys: ClassVar[tuple[str, ...]] = ("way", "served")
    units: Units
    year: Year
    requests: tuple[Asked, ...]
    ways: tuple[Way, ...] = field(repr=False)

    def of(self, name: str, served: Served = "at once") -> Way:
        """One way; raises ProjectError for one that was not simulated."""
        for way in self.ways:
            if (way.name, way.served) == (name, served):
                return way
        known = ", ".join(dict.fromkeys(way.name for way in self.ways))
        raise ProjectError(f"expected one of {known}, got {name} {served}; name one of these")

    def seconds(self, way: Way) -> float | None:
        """What a way took, None where no training was measured."""
        return None if self.units.seconds is None else way.cost * self.units.seconds

    def records(self) -> list[Record]:
        """One row a way; costs in retrainings and in seconds, shares as fractions, waits in days."""
        whole = self.of("retrain").cost
        return [
            {
                "way": way.name,
                "served": way.served,
                "runs": way.runs,
                "trainings": way.trainings,
                "slices": way.slices,
                "retrainings_worth": way.cost,
                "seconds": self.seconds(way),
                "share_of_retraining_at_once": way.cost / whole if whole else None,
                "longest_wait_days": way.longest_wait,
                "pays_after_requests": way.pays_after,
                "measured_on": way.measured_on,
            }
            for way in self.ways
        ]

    def table(self) -> Table:
        """The ways, with what they are measured on, and below what was simulated."""
        whole, timed = self.of("retrain").cost, self.units.seconds is not None
        rows = [
            (
                way.label,
                f"{way.runs:,}",
                f"{way.trainings:,}",
                duration(self.seconds(way)) if timed else f"{way.cost:,.1f}",
                f"{100 * way.cost / whole:,.1f} %" if whole else MISSING,
                f"{way.longest_wait:.1f} d",
                MISSING if way.pays_after is None else f"{way.pays_after:,}",
                way.measured_on,
            )
            for way in self.ways
        ]
        time = "time" if timed else "retrainings"
        heads = ("way", "runs", "trainings", time, "of retraining", "longest wait", "pays after", "measured on")
        return Table(heads=heads, rows=rows, notes=[*self._notes()])

    def _notes(self) -> Iterator[str]:
        year, units = self.year, self.units
        grown = f", growing by {100 * year.growth:g} % a month" if year.growth else ""
        yield (
            f"{len(self.requests):,} requests for {sum(asked.samples for asked in self.requests):,} samples in "
            f"{year.months} months, to a model of {units.samples:,} training samples{grown}; seed {year.seed}."
        )
        yield (
            f"A batch begins when {year.batch:,} requests wait, or the first has waited {year.days:g} days. A "
            "retraining takes as long as it has samples; a method's share of it is the same for every request."
        )
        if units.seconds is None:
            yield "No training was measured: costs are in retrainings at the beginning of the year."
        if any(way.name in TAUGHT for way in self.ways):
            anew = f", trained anew every {year.renew} months" if year.renew else ""
            yield f"Teachers: {year.teachers}{anew}; each takes {self._share(units.member)}."
        if year.references or year.retrained:
            yield (
                f"Approximate methods are audited: {year.references} references once, and {year.retrained} retrained "
                f"models for every run; a reference takes {self._share(units.member)}."
            )
        else:
            yield "Audits are not in it: --audited adds them."

    @staticmethod
    def _share(unit: Unit) -> str:
        return f"{100 * unit.share:.3g} % of a retraining ({unit.measured_on})"

    def to_dict(self) -> dict[str, Any]:
        """In JSON values."""
        return {
            "samples": self.units.samples,
            "retraining_seconds": self.units.seconds,
            "retraining_measured_on": self.units.measured_on,
            "seed": self.year.seed,
            "months": self.year.months,
            "requests": [{"day": asked.day, "samples": asked.samples} for asked in self.requests],
            "ways": self.records(),
        }

    def to_svg(self) -> str:
        """The cumulated cost of every way over the months; the same simulation gives the same bytes."""
        from obliviate.project.simulation_plot import svg

        return svg(self)


def simulate(
    units: Units, year: Year, *, methods: Sequence[str] | None = None, requests: Sequence[Asked] | None = None
) -> Simulation:
    """Simulate every way to serve a year of requests, a function of the year's seed.

    Args:
        units: what one of each thing takes (`Units.measured`, `Units.shipped`).
        year: what is asked, and by which policy it is served.
        methods: approximate methods; all whose cost is known if left out.
        requests: the requests themselves, in the order of their days; drawn by the year's seed if left out.

    Raises ProjectError for methods without a known cost, and where nothing would be left to train on.

    >>> year = Year(shards=5, slices=1, months=1)
    >>> done = simulate(Units(samples=1000, seconds=10.0), year, requests=[Asked(1, 1), Asked(2, 1)])
    >>> [(way.label, way.runs, round(done.seconds(way))) for way in done.ways]
    [('retrain, at once', 2, 20), ('retrain, in batches', 1, 10), ('sisa, at once', 2, 4), ('sisa, in batches', 1, 4)]
    """
    wanted = [name for name in (units.methods if methods is None else methods) if name not in EXACT]
    if unknown := [name for name in wanted if name not in units.methods]:
        raise ProjectError(
            f"expected methods whose cost was measured ({', '.join(units.methods) or 'none'}), got "
            f"{', '.join(unknown)}; run each once, or leave it out"
        )
    asked = tuple(year.requests() if requests is None else requests)
    if any(second.day < first.day for first, second in pairwise(asked)):
        raise ProjectError("expected requests in the order of their days, got others; sort them")
    if (most := _known(asked[-1].day + year.days if asked else 0.0, units, year)) >= LARGEST:
        raise ProjectError(f"expected fewer than {LARGEST:,} training samples, got {most:,} in the end; ask for fewer")
    ways = []
    for name in dict.fromkeys(["retrain", "sisa", *wanted]):
        for served in ("at once", "in batches"):
            ways.append(_way(name, served, units, year, asked))
    basis = _series(ways[0].spent, asked)
    ways = [_with_payoff(way, basis, asked) for way in ways]
    return Simulation(units=units, year=year, requests=asked, ways=tuple(ways))


def _way(name: str, served: Served, units: Units, year: Year, asked: Sequence[Asked]) -> Way:
    groups = [[request] for request in asked] if served == "at once" else list(_batches(asked, year))
    runs, waits = list(_runs(groups, units, year, at_once=served == "at once")), [0.0]
    for run, group in zip(runs, groups, strict=True):
        waits.append(run.day - group[0].day)
    scales = [run.left / units.samples for run in runs]
    spent, trainings, slices, on = list[tuple[float, float]](), 0, 0, units.measured_on
    if name == "retrain":
        spent, trainings = [(run.day, scale) for run, scale in zip(runs, scales, strict=True)], len(runs)
    elif name == "sisa":
        repeated = list(_repeated(runs, units, year))
        spent = [(run.day, share * scale) for run, scale, (share, _) in zip(runs, scales, repeated, strict=True)]
        slices = sum(count for _, count in repeated)
        on = f"its slices ({year.shards} shards × {year.slices}); {on}"
    else:
        unit, once, each = units.methods[name], 0, year.retrained
        for place, (run, scale) in enumerate(zip(runs, scales, strict=True)):
            members = year.references if place == 0 else 0
            if name in TAUGHT and (place == 0 or _renewed(runs[place - 1].day, run.day, runs[0].day, year)):
                members += year.teachers
            once += members
            spent.append((run.day, scale * (unit.share + members * units.member.share + each)))
        trainings, on = once + each * len(runs), unit.measured_on
    return Way(
        name=name, served=served, runs=len(runs), trainings=trainings, slices=slices, spent=tuple(spent),
        longest_wait=max(waits), pays_after=None, measured_on=on,
    )  # fmt: skip


def _batches(asked: Sequence[Asked], year: Year) -> Iterator[list[Asked]]:
    """What is served together: as many as the policy allows, or what came while the first had time."""
    waiting: list[Asked] = []
    for request in asked:
        if waiting and request.day >= waiting[0].day + year.days:
            yield waiting
            waiting = []
        waiting.append(request)
        if len(waiting) == year.batch:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _runs(groups: Sequence[Sequence[Asked]], units: Units, year: Year, *, at_once: bool) -> Iterator[_Run]:
    """When each run begins, and what is left then; raises ProjectError where nothing is."""
    forgotten = 0
    for group in groups:
        full = at_once or len(group) == year.batch
        day = group[-1].day if full else group[0].day + year.days
        samples = sum(request.samples for request in group)
        forgotten += samples
        left = _known(day, units, year) - forgotten
        if left < 1:
            raise ProjectError(
                f"expected samples that are left to train on, got requests for {forgotten:,} of "
                f"{_known(day, units, year):,} by day {day:.0f}; ask for fewer"
            )
        yield _Run(day, len(group), samples, left)


def _known(day: float, units: Units, year: Year) -> int:
    """How many training samples there would be without requests."""
    return round(units.samples * (1 + year.growth * (day // MONTH)))


def _renewed(before: float, now: float, first: float, year: Year) -> bool:
    """Whether teachers are to be trained anew between two runs."""
    if not year.renew:
        return False
    period = year.renew * MONTH
    return (now - first) // period > (before - first) // period


def _repeated(runs: Sequence[_Run], units: Units, year: Year) -> Iterator[tuple[float, int]]:
    """What SISA repeats in each run: the share of the visits of a training, and in how many slices.

    Samples lie in slices at random, so that those of a run are drawn from what is there.
    """
    generator = np.random.default_rng(derive(year.seed, "slices"))
    places = year.shards * year.slices
    counts = generator.multinomial(units.samples, np.full(places, 1 / places))
    per_slice = np.array(slice_epochs(units.epochs, year.slices))
    known = units.samples
    for run in runs:
        grown = _known(run.day, units, year)
        counts = counts + generator.multinomial(grown - known, np.full(places, 1 / places))
        known = grown
        gone = generator.multivariate_hypergeometric(counts, run.samples, method="marginals")
        counts = counts - gone
        visits = per_slice * np.cumsum(counts.reshape(year.shards, year.slices), axis=1)
        behind = np.cumsum(gone.reshape(year.shards, year.slices), axis=1) > 0
        yield float(visits[behind].sum() / max(visits.sum(), 1)), int(behind.sum())


def _series(spent: Sequence[tuple[float, float]], asked: Sequence[Asked]) -> np.ndarray:
    """The cost that has been paid by the day of each request, and in the end."""
    days = np.array([request.day for request in asked] + [math.inf])
    paid = np.array([day for day, _ in spent])
    costs = np.concatenate([[0.0], np.cumsum([cost for _, cost in spent])])
    return costs[np.searchsorted(paid, days, side="right")]


def _with_payoff(way: Way, basis: np.ndarray, asked: Sequence[Asked]) -> Way:
    """Tell after how many requests a way is cheaper for good; batches that are due after the last count with it."""
    if way.label == "retrain, at once" or not asked:
        return way
    dearer = np.flatnonzero(_series(way.spent, asked) >= basis)
    after = 1 if not len(dearer) else int(dearer[-1]) + 2
    return way if after > len(asked) else replace(way, pays_after=after)
