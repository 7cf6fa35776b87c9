"""The searches for the closest adversarial example, on the same models and samples: distance, gradients, time.

    python benchmarks/search.py [--seeds 3] [--out runs/demo]

Uses the original models and forget sets of `benchmarks/demo.py` (trains them if they are not there). Each search runs
`--repeats` times in turn; the times are medians. Writes `benchmarks/results/search.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common import provenance, save, spread

from obliviate.attacks.adversarial import AdversarialExamples, boundary, fgsm, initial_radius, pgd
from obliviate.data.sources import EMBEDDED
from obliviate.demo import FORGET
from obliviate.training.recipe import Recipe
from obliviate.workspace import Workspace


def main() -> None:
    """Run every search on every seed and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    figures: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        workspace = Workspace.create(arguments.out / f"seed-{seed}", source=EMBEDDED, recipe=Recipe(), seed=seed)
        forget = workspace.choose(FORGET).forget.everything()
        model, space = workspace.train().model, workspace.task.input_space
        assert space is not None
        radius = initial_radius(model, forget.x, forget.y, space)
        searches: dict[str, Callable[..., AdversarialExamples]] = {
            "boundary": boundary,
            "boundary, damping 0.3 × 6": partial(boundary, damping=0.3, damped_steps=6),
            "pgd, radius by the 95 % rule": partial(pgd, radius=radius),
            "pgd, radius 0.04": partial(pgd, radius=0.04),
            "fgsm": partial(fgsm, radius=0.001),
        }
        times: dict[str, list[float]] = {name: [] for name in searches}
        found: dict[str, AdversarialExamples] = {}
        for _ in range(arguments.repeats):
            for name, search in searches.items():
                began = time.perf_counter()
                found[name] = search(model, forget.x, forget.y, space)
                times[name].append(time.perf_counter() - began)
        for name, one in found.items():
            figures.setdefault(name, []).append(
                {
                    "found": 100 * float(one.found.float().mean()),
                    "median_l2": float(one.distance[one.found].median()),
                    "mean_l2": float(one.distance[one.found].mean()),
                    "gradients": float(one.gradients.float().mean()),
                    "seconds": statistics.median(times[name]),
                }
            )
        print(f"seed {seed}: ε_init by the 95 % rule {radius:.3f}", flush=True)
    table: dict[str, Any] = {
        name: {key: spread([one[key] for one in runs]) for key in runs[0]} for name, runs in figures.items()
    }
    for name, row in table.items():
        print(f"{name}: " + "; ".join(f"{k} {v['mean']:.3f} [{v['min']:.3f}, {v['max']:.3f}]" for k, v in row.items()))
    print(save("search", {**provenance(f"python benchmarks/search.py --seeds {arguments.seeds}"), "searches": table}))


if __name__ == "__main__":
    main()
