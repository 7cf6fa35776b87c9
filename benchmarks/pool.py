"""How fast references train beside a plain loop, and how much memory reading them takes.

    OMP_NUM_THREADS=1 python benchmarks/pool.py [--repeats 7] [--epochs 2] [--seed 0]

Speed: the training of a pool's members (`Run.train`) on half of the shipped data, or on a part of it for models that
take longer, against a loop as a tutorial has it: float32, default memory format, `DataLoader(TensorDataset,
shuffle=True, num_workers=0)`, the same model, batch size, optimiser and schedule, no augmentation. Both run in turns in
one process of one thread.

Memory: by how much the resident memory of a fresh process grows while it goes through all outputs of 4, 16 and 32
references, one at a time and stacked in one array. Writes `benchmarks/results/pool.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from common import provenance, save, spread
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.references.logits import StoredLogits, write_logits
from obliviate.references.plan import leave_half_out
from obliviate.seeds import derive
from obliviate.task import Classification
from obliviate.training import schedules
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

COUNTS: Final = (4, 16, 32)
CASES: Final[dict[str, tuple[dict[str, Any], int]]] = {  # options of the architecture, and training samples
    "small_cnn": ({}, 3_750),
    "resnet8": ({"channels": 1}, 512),
    "resnet20": ({"channels": 1}, 256),
}
SAMPLES, CLASSES = 60_000, 100  # outputs as of a CIFAR-100 with its test set: 24 MB a reference


def plain(recipe: Recipe, samples: Samples, *, seed: int) -> nn.Module:
    """Train as a tutorial does."""
    everything = samples.everything()
    loader = DataLoader(
        TensorDataset(everything.x, everything.y),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=0,
        generator=torch.Generator().manual_seed(seed),
    )
    model = recipe.build(seed=seed)
    optimizer = recipe.make_optimizer(model)
    scheduler = schedules.make(recipe.schedule, optimizer, steps=recipe.epochs * len(loader))
    model.train()
    for _ in range(recipe.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            scheduler.step()
    return model.eval()


def speed(recipe: Recipe, count: int, *, repeats: int, seed: int) -> dict[str, Any]:
    """Train by both in turns; samples per second of process CPU time and of wall time, and the test accuracy."""
    data, task = sources.embedded(), Classification(classes=10)
    half = data.train.joined(data.test).at(leave_half_out(4, len(data.train) + len(data.test), seed=seed)[0])
    half = half.select(half.ids[:count])
    float32 = Recipe.from_dict(recipe.to_dict() | {"precision": "float32"})
    ways: dict[str, Callable[[int], nn.Module]] = {
        "plain": lambda one: plain(recipe, half, seed=one),
        "pool": lambda one: Run(task, seed=one, recipe=recipe).train(half),
        "pool in float32": lambda one: Run(task, seed=one, recipe=float32).train(half),
    }
    rates: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": [], "accuracy": []} for name in ways}
    labels = data.test.everything().y
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            model = way(derive(seed, "repeat", repeat))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if repeat:  # the first of each pays for imports and caches
                visits = recipe.epochs * len(half)
                rates[name]["cpu"].append(visits / cpu)
                rates[name]["wall"].append(visits / wall)
                rates[name]["accuracy"].append(
                    100 * float(task.correct(outputs(model, data.test), labels).float().mean())
                )
        print(repeat, {name: round(one["cpu"][-1]) for name, one in rates.items() if one["cpu"]}, flush=True)
    ratios = {
        name: {
            clock: spread([a / b for a, b in zip(one[clock], rates["plain"][clock], strict=True)])
            for clock in ("cpu", "wall")
        }
        for name, one in rates.items()
        if name != "plain"
    }
    return {
        "samples": len(half),
        "repeats": repeats,
        "rates": {name: {key: spread(values) for key, values in one.items()} for name, one in rates.items()},
        "ratios": ratios,
    }


READER = """
import json, sys
from pathlib import Path
import numpy as np
from obliviate.references.logits import StoredLogits

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(one for one in lines if one.startswith(name + ":")).split()[1])

paths = sorted(Path(sys.argv[1]).glob("*.safetensors"))[: int(sys.argv[2])]
logits = StoredLogits.open(paths, samples=int(sys.argv[4]))
before = kilobytes("VmRSS")
if sys.argv[3] == "streamed":
    total = sum(float(one.sum()) for one in logits)
else:
    total = float(np.stack(list(logits)).sum())
print(json.dumps({"before": before, "peak": kilobytes("VmHWM"), "total": total}))
"""


def memory(*, seed: int) -> dict[str, Any]:
    """Go through the outputs of more and more references; megabytes by which the peak exceeds what was there before."""
    grown: dict[str, dict[str, float]] = {"streamed": {}, "stacked": {}}
    generator = torch.Generator().manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        for member in range(max(COUNTS)):
            logits = torch.randn(SAMPLES, CLASSES, generator=generator)
            write_logits(Path(folder) / f"member-{member:03d}.logits.safetensors", logits, {"seconds": "1"})
        for count in COUNTS:
            for way, found in grown.items():
                command = [sys.executable, "-c", READER, folder, str(count), way, str(SAMPLES)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                told = json.loads(done.stdout)
                found[str(count)] = (told["peak"] - told["before"]) / 1024
        whole = StoredLogits.open(sorted(Path(folder).glob("*.safetensors")), samples=SAMPLES)
        shape = whole.shape
    return {
        "samples": shape[1],
        "classes": shape[2],
        "member_mb": float(np.prod(shape[1:]) * 4 / 2**20),
        "peak_mb": grown,
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="trainings of each kind")
    parser.add_argument("--epochs", type=int, default=2, help="passes of each training")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    values: dict[str, Any] = {"memory": memory(seed=arguments.seed), "speed": {}}
    for model, (options, count) in CASES.items():
        recipe = Recipe(model=model, model_options=options, epochs=arguments.epochs)
        measured = speed(recipe, count, repeats=arguments.repeats, seed=arguments.seed)
        values["speed"][model] = {"recipe": recipe.to_dict()} | measured
    command = f"python benchmarks/pool.py --repeats {arguments.repeats} --epochs {arguments.epochs}"
    print(json.dumps(values, indent=1))
    save("pool", provenance(f"{command} --seed {arguments.seed}") | values)


if __name__ == "__main__":
    main()
