"""How long RMIA takes for 20,000 targets and 20,000 population points, beside the pairwise definition.

    python benchmarks/rmia_speed.py [--targets 20000] [--population 20000] [--repeats 5]

Both get the same probabilities and moments of 64 simulated references and must give the same shares. Pairwise compares
every target with every point, in the blocks that are fastest, which fit into the cache of the processor; ours scores
the population points as well. Times are process CPU time on one thread (set OMP_NUM_THREADS=1), so that other work on
the machine counts little, and the ratio is of one run. Writes `benchmarks/results/rmia_speed.json`; fails if ours takes
more than a second or is, on average, less than 100 times as fast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from common import provenance, save, spread

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


def timed(function: Callable[[], np.ndarray], repeats: int) -> tuple[np.ndarray, list[float]]:
    """The result, and the CPU seconds of each repeat after one that is not counted."""
    result, seconds = function(), []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, default=20_000)
    parser.add_argument("--population", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    n = options.targets + options.population
    rng = np.random.default_rng(0)
    difficulty = rng.normal(1, 2, n)

    moments = Moments.empty(n)
    for _ in range(REFERENCES // 2):
        row = rng.random(n) < 0.5
        for included in (row, ~row):
            z = difficulty + rng.normal(0, 0.7, n) + 2 * included
            moments = moments.add(1 / (1 + np.exp(-z)), included)
    target = 1 / (1 + np.exp(-(difficulty + rng.normal(0, 0.7, n))))
    points = np.arange(options.targets, n)

    def ours() -> np.ndarray:
        return rmia.online(target, moments, points, gamma=GAMMA)

    def theirs() -> np.ndarray:
        ratio = target / ((moments.mean(inside=True) + moments.mean(inside=False)) / 2)
        return pairwise(ratio[: options.targets], ratio[points])

    scores, fast = timed(ours, options.repeats)
    shares, slow = timed(theirs, min(options.repeats, 3))
    found = np.floor(scores[: options.targets] * len(points)) / len(points)
    difference = float(np.abs(found - shares).max())
    ratio, least = float(np.mean(slow) / np.mean(fast)), min(slow) / max(fast)
    save(
        "rmia_speed",
        provenance("python benchmarks/rmia_speed.py")
        | {
            "targets": options.targets,
            "population": options.population,
            "references": REFERENCES,
            "unit": "CPU seconds, one thread",
            "ours": spread(fast),
            "pairwise": spread(slow),
            "ratio": {"of_means": ratio, "least": least},
            "max_share_difference": difference,
        },
    )
    print(
        f"ours {spread(fast)}\npairwise {spread(slow)}\n"
        f"ratio {ratio:.0f}, least {least:.0f}; share difference {difference:g}"
    )
    if difference > 0 or max(fast) > MOST_SECONDS or ratio < LEAST_RATIO:
        raise SystemExit(
            f"expected equal shares, at most {MOST_SECONDS} s and a ratio of {LEAST_RATIO} or more, got "
            f"{difference:g}, {max(fast):.3f} s and {ratio:.0f}; see benchmarks/results/rmia_speed.json"
        )


if __name__ == "__main__":
    main()
