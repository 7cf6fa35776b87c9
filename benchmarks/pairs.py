"""Timing in pairs: both sides in turns in one process, their ratio in each round, and what the machine could do.

Other work on a machine slows whatever runs beside it, processor time included, since cores share caches, memory and
execution units. It slows both sides of a pair alike, so that the ratio of neighbours stands where seconds do not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

T = TypeVar("T")
Clock = Callable[[], float]

SIDE: Final = 1024  # of the matrices whose product is timed
COPIED: Final = 2**26  # bytes that are copied: more than the caches hold
FORMATS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Range:
    """The least, the median and the greatest of some measurements.

    >>> Range.of([3.0, 1.0, 2.0])
    Range(min=1.0, median=2.0, max=3.0)
    """

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        return cls(min(values), statistics.median(values), max(values))

    def shown(self, digits: int) -> str:
        """The median, with the least and the greatest."""
        return f"{self.median:,.{digits}f} ({self.min:,.{digits}f}–{self.max:,.{digits}f})"


@dataclass(frozen=True, eq=False)
class Timed:
    """What each of some ways made in its last round, and the seconds that each took in every round."""

    results: Mapping[str, Any]
    seconds: Mapping[str, list[float]]

    def times(self, slow: str, fast: str) -> Range:
        """How many times as long the one took as the other, round by round."""
        return Range.of([a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)])

    def range(self, name: str) -> Range:
        """The seconds of one way."""
        return Range.of(self.seconds[name])


def alternate(
    ways: Mapping[str, Callable[[int], Any]],
    rounds: int,
    *,
    clock: Clock = time.process_time,
    looked_at: Callable[[str, Any], object] | None = None,
) -> Timed:
    """Do each of the ways in turns, with the number of the round as its seed.

    One more round comes first, which pays for imports and caches and is not counted, unless a single one is asked for.
    `looked_at` is called with what each way has made, outside its time.
    """
    results: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1 if rounds > 1 else 0, rounds):
        for name, way in ways.items():
            began = clock()
            results[name] = way(max(number, 0))
            spent = clock() - began
            if number >= 0:
                seconds[name].append(spent)
                if looked_at is not None:
                    looked_at(name, results[name])
    return Timed(results, seconds)


@dataclass(frozen=True)
class Limits:
    """What one thread of the machine can do at most: operations a second in matrix products, bytes a second copied."""

    float32: float
    bfloat16: float
    memory: float

    @classmethod
    def measured(cls, seconds: float) -> Limits:
        """The best of repeated products of 1,024 × 1,024 matrices and of copies of 64 MiB, for so long each."""
        rates = {}
        for name, dtype in FORMATS.items():
            left, right = torch.randn(SIDE, SIDE).to(dtype), torch.randn(SIDE, SIDE).to(dtype)
            rates[name] = 2 * SIDE**3 / _shortest(lambda a=left, b=right: a @ b, seconds)
        source = np.ones(COPIED, np.uint8)
        target = np.empty_like(source)
        memory = 2 * COPIED / _shortest(lambda: np.copyto(target, source), seconds)
        return cls(**rates, memory=memory)

    def best(self, other: Limits) -> Limits:
        """The greater of two measurements, each."""
        return Limits(*(max(a, b) for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def _shortest(work: Callable[[], object], seconds: float) -> float:
    """The least processor time of a piece of work that is repeated for so long, and three times at least."""
    best, end, done = float("inf"), time.monotonic() + seconds, 0
    while done < 3 or time.monotonic() < end:
        began = time.process_time()
        work()
        best, done = min(best, time.process_time() - began), done + 1
    return best


def operations(work: Callable[[], object]) -> int:
    """The floating-point operations of matrix products and convolutions in a piece of work, gradients included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The power of the size by which time grows: 1 is linear, 0 is flat.

    >>> round(slope([1, 10, 100], [2.0, 20.0, 200.0]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def hottest(work: Callable[[], object], count: int = 5) -> list[tuple[str, float]]:
    """The operators of torch that take most of the processor time of a piece of work, with their shares of it."""
    has_events = "acc_events" in signature(profile).parameters  # torch 2.4 does not know it, later ones warn without
    options: dict[str, Any] = {"acc_events": True} if has_events else {}
    with profile(activities=[ProfilerActivity.CPU], **options) as measured:
        work()
    rows = [row for row in measured.key_averages() if not row.key.startswith("ProfilerStep")]
    total = sum(row.self_cpu_time_total for row in rows)
    rows.sort(key=lambda row: row.self_cpu_time_total, reverse=True)
    return [(row.key.removeprefix("aten::"), row.self_cpu_time_total / total) for row in rows[:count]]
