"""The searches for the closest adversarial example, on the same models and samples: distance, gradients, time.

    python benchmarks/search.py [--seeds 3] [--out runs/demo]

Uses the original models and forget sets of `benchmarks/demo.py` (trains them if they are not there). Beside ours stand
DeepFool and DDN as foolbox has them (a test dependency). For every search alike, the gradients are counted in the
backward passes that reach the input, one for each row of the batch; the distance is measured anew, on the samples that
the model then mispredicts; the time is that of the processor, on one thread. Writes `benchmarks/results/search.json`.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import provenance, ranged, save, spread
from torch import Tensor, nn

from obliviate.adversarial.closest import AdversarialExamples, boundary, fgsm, initial_radius, pgd
from obliviate.data.sources import EMBEDDED
from obliviate.demo import FORGET
from obliviate.task import InputSpace
from obliviate.training.recipe import Recipe
from obliviate.types import Batch
from obliviate.workspace import Workspace

Search = Callable[[nn.Module, Batch, InputSpace], Tensor]


class Counted(nn.Module):
    """A model that counts the rows whose gradient with respect to its input is taken."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        """Pass the inputs on; a hook counts the backward pass."""
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(self._count)
        return self.model(x)

    def _count(self, gradient: Tensor) -> None:
        self.rows += len(gradient)


def of_ours(search: Callable[..., AdversarialExamples]) -> Search:
    """One of our searches, with its settings given."""
    return lambda model, batch, space: search(model, batch.x, batch.y, space).x


def of_foolbox(attack: str, **settings: Any) -> Search:
    """A minimum-norm attack of foolbox."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        foolbox = importlib.import_module("foolbox")

    def search(model: nn.Module, batch: Batch, space: InputSpace) -> Tensor:
        victim = foolbox.PyTorchModel(model, bounds=(space.low, space.high), device="cpu")
        return getattr(foolbox.attacks, attack)(**settings)(victim, batch.x, batch.y, epsilons=None)[1]

    return search


def measured(search: Search, model: nn.Module, batch: Batch, space: InputSpace) -> dict[str, float]:
    """The figures of one search on one model."""
    counted = Counted(model).eval()
    began = time.process_time()
    x = search(counted, batch, space)
    seconds = time.process_time() - began
    return judged(x, model, batch) | {"gradients": counted.rows / len(x), "seconds": seconds}


@torch.no_grad()
def judged(x: Tensor, model: nn.Module, batch: Batch) -> dict[str, float]:
    """How many of the points the model mispredicts, and how far those are from the samples."""
    flipped = model(x).argmax(1) != batch.y
    distance = (x - batch.x).flatten(1).norm(dim=1)[flipped]
    return {
        "found": 100 * float(flipped.float().mean()),
        "median_l2": float(distance.median()),
        "mean_l2": float(distance.mean()),
    }


def main() -> None:
    """Run every search on every seed and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    figures: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        workspace = Workspace.create(arguments.out / f"seed-{seed}", source=EMBEDDED, recipe=Recipe(), seed=seed)
        forget = workspace.choose(FORGET).forget.everything()
        model = workspace.train().model.eval()
        space = workspace.task.space(model)
        assert space is not None
        radius = initial_radius(model, forget.x, forget.y, space)  # also the warm-up
        searches: dict[str, Search] = {
            "boundary": of_ours(boundary),
            "boundary, 0 refinements": of_ours(partial(boundary, refinements=0)),
            "boundary, 4 refinements": of_ours(partial(boundary, refinements=4)),
            "boundary, 20 refinements": of_ours(partial(boundary, refinements=20)),
            "pgd, radius by the 95 % rule": of_ours(partial(pgd, radius=radius)),
            "pgd, radius 0.04": of_ours(partial(pgd, radius=0.04)),
            "fgsm": of_ours(partial(fgsm, radius=0.001)),
            "DeepFool (foolbox), 10 classes": of_foolbox("L2DeepFoolAttack", candidates=10),
            "DeepFool (foolbox), 3 classes": of_foolbox("L2DeepFoolAttack", candidates=3),
            "DDN (foolbox), 20 steps": of_foolbox("DDNAttack", steps=20),
            "DDN (foolbox), 100 steps": of_foolbox("DDNAttack", steps=100),
        }
        for name, search in searches.items():
            figures.setdefault(name, []).append(measured(search, model, forget, space))
        print(f"seed {seed}: ε_init by the 95 % rule {radius:.3f}", flush=True)
    table: dict[str, Any] = {
        name: {key: spread([run[key] for run in runs]) for key in runs[0]} for name, runs in figures.items()
    }
    for name, row in table.items():
        cells = [f"{row['found']['mean']:.1f}"]
        for key, digits in (("median_l2", 3), ("mean_l2", 3), ("gradients", 1), ("seconds", 2)):
            cells.append(ranged(row[key], digits))
        print(f"| {name} | {' | '.join(cells)} |")
    print(save("search", {**provenance(f"python benchmarks/search.py --seeds {arguments.seeds}"), "searches": table}))


if __name__ == "__main__":
    main()
