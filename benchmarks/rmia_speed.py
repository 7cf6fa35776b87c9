"""How long RMIA takes for 20,000 targets and 20,000 population points, beside the pairwise definition.

    python benchmarks/rmia_speed.py [--targets 20000] [--population 20000] [--repeats 5]

Both get the same probabilities and moments of 64 simulated references and must give the same shares. Pairwise compares
every target with every point, in the blocks that are fastest, which fit into the cache of the processor; ours scores
the population points as well. Times are process CPU time on one thread (set OMP_NUM_THREADS=1), so that other work on
the machine counts little, and ratios are of neighbours in one run. Writes `benchmarks/results/rmia_speed.json`; fails
if ours takes more than a second or is, in the median, less than 100 times as fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from common import provenance, save
from pairs import alternate

from obliviate.membership import rmia
from obliviate.membership.moments import Moments

REFERENCES, GAMMA, BLOCK = 64, 2.0, 16
MOST_SECONDS, LEAST_RATIO = 1.0, 100.0


def pairwise(ratio: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The share of points z with ratio(x) / ratio(z) > gamma, as the paper defines it."""
    shares = np.empty(len(ratio))
    for start in range(0, len(ratio), BLOCK):
        block = slice(start, start + BLOCK)
        shares[block] = (ratio[block, None] / points > GAMMA).mean(axis=1)
    return shares


def at_once(ratio: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The same in one matrix of all pairs, which takes 8 bytes a pair."""
    return (ratio[:, None] / points > GAMMA).mean(axis=1)


def measure(targets: int, population: int, repeats: int, *, whole: bool = False) -> dict[str, Any]:
    """Score in turns by both; the ratio of their CPU seconds, and by how much their shares differ at most.

    `whole` has all pairs compared in one matrix, too.
    """
    n = targets + population
    rng = np.random.default_rng(0)
    difficulty = rng.normal(1, 2, n)

    moments = Moments.empty(n)
    for _ in range(REFERENCES // 2):
        row = rng.random(n) < 0.5
        for included in (row, ~row):
            z = difficulty + rng.normal(0, 0.7, n) + 2 * included
            moments = moments.add(1 / (1 + np.exp(-z)), included)
    target = 1 / (1 + np.exp(-(difficulty + rng.normal(0, 0.7, n))))
    points = np.arange(targets, n)

    def ours(_: int) -> np.ndarray:
        return rmia.online(target, moments, points, gamma=GAMMA)

    def theirs(shares: Callable[[np.ndarray, np.ndarray], np.ndarray], _: int) -> np.ndarray:
        ratio = target / ((moments.mean(inside=True) + moments.mean(inside=False)) / 2)
        return shares(ratio[:targets], ratio[points])

    slow = {"pairwise": pairwise} | ({"one matrix": at_once} if whole else {})
    timed = alternate({"ours": ours} | {name: partial(theirs, way) for name, way in slow.items()}, repeats)
    shares = np.floor(timed.results["ours"][:targets] * len(points)) / len(points)
    return {
        "targets": targets,
        "population": population,
        "references": REFERENCES,
        "unit": "CPU seconds, one thread",
        "seconds": {name: asdict(timed.range(name)) for name in ("ours", *slow)},
        "ratio": {name: asdict(timed.times(name, "ours")) for name in slow},
        "max_share_difference": max(float(np.abs(shares - timed.results[name]).max()) for name in slow),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, default=20_000)
    parser.add_argument("--population", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    figures = measure(options.targets, options.population, options.repeats)
    save("rmia_speed", provenance("python benchmarks/rmia_speed.py") | figures)
    print(figures)
    difference, longest = figures["max_share_difference"], figures["seconds"]["ours"]["max"]
    ratio = figures["ratio"]["pairwise"]["median"]
    if difference > 0 or longest > MOST_SECONDS or ratio < LEAST_RATIO:
        raise SystemExit(
            f"expected equal shares, at most {MOST_SECONDS} s and a ratio of {LEAST_RATIO} or more, got "
            f"{difference:g}, {longest:.3f} s and {ratio:.0f}; see benchmarks/results/rmia_speed.json"
        )


if __name__ == "__main__":
    main()
