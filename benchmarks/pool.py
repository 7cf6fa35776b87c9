"""How fast references train beside a plain loop, and how much memory reading and auditing them takes.

    python benchmarks/pool.py [--repeats 5] [--members 16] [--seed 0]

Throughput of the machine: a pool of references of the default recipe, from the call to the last file, with a process
per core, against a plain loop that trains as many models on the same halves one after the other, with as many threads
as torch takes by itself; in turns.

The plain loop is as a tutorial has it: float32, default memory format, `DataLoader(TensorDataset, shuffle=True,
num_workers=0)`, the same model, batch size, optimiser and schedule, no augmentation. `benchmarks/bench.py` times one
thread of both (`speed`).

Memory: by how much the resident memory of a fresh process grows while it goes through all outputs of 4, 16 and 32
references, one at a time and stacked in one array, and while it audits a model by them.

Writes `benchmarks/results/pool.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from common import provenance, save, spread
from pairs import Range, alternate
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.experiment import Experiment
from obliviate.references.logits import StoredLogits, write_logits
from obliviate.references.plan import leave_half_out
from obliviate.task import Classification
from obliviate.training import schedules
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run

COUNTS: Final = (4, 16, 32)
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
    """Train by both in turns; samples per second of process CPU time, and the test accuracy."""
    data, task = sources.embedded(), Classification(classes=10)
    half = half_of_the_shipped(count, seed=seed)
    float32 = Recipe.from_dict(recipe.to_dict() | {"precision": "float32"})
    ways: dict[str, Callable[[int], nn.Module]] = {
        "plain": lambda repeat: plain(recipe, half, seed=derive(seed, "repeat", repeat)),
        "pool": lambda repeat: Run(task, seed=derive(seed, "repeat", repeat), recipe=recipe).train(half),
        "pool in float32": lambda repeat: Run(task, seed=derive(seed, "repeat", repeat), recipe=float32).train(half),
    }
    labels, accuracy = data.test.everything().y, defaultdict[str, list[float]](list)

    def look(name: str, model: nn.Module) -> None:
        accuracy[name].append(100 * float(task.correct(outputs(model, data.test), labels).float().mean()))

    timed, visits = alternate(ways, repeats, looked_at=look), recipe.epochs * len(half)
    return {
        "samples": len(half),
        "repeats": repeats,
        "rates": {name: asdict(Range.of([visits / seconds for seconds in timed.seconds[name]])) for name in ways},
        "accuracy": {name: asdict(Range.of(values)) for name, values in accuracy.items()},
        "ratios": {name: asdict(timed.times("plain", name)) for name in ways if name != "plain"},
    }


def half_of_the_shipped(count: int, *, seed: int) -> Samples:
    """The first samples of the half of the shipped data that the first member of a pool is trained on."""
    data = sources.embedded()
    population = data.train.joined(data.test)
    half = population.at(leave_half_out(4, len(population), seed=seed)[0])
    return half.select(half.ids[:count])


def throughput(*, members: int, repeats: int, seed: int) -> dict[str, Any]:
    """Samples a second of wall time, over all models."""
    data, recipe = sources.embedded(), Recipe()
    population = data.train.joined(data.test)
    visits = members * recipe.epochs * (len(population) // 2)
    rates: dict[str, list[float]] = {"plain": [], "pool": []}
    apart = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    for repeat in range(repeats):
        own_seed = derive(seed, "repeat", repeat)
        command = [sys.executable, __file__, "--plain", str(members), "--seed", str(own_seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=apart)
        rates["plain"].append(visits / float(done.stdout))
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            experiment = Experiment(Classification(classes=10), recipe, data.train, data.test, seed=own_seed)
            workflow.train_references(experiment, folder=folder, models=members, workers=os.cpu_count())
            rates["pool"].append(visits / (time.perf_counter() - began))
        print(repeat, {name: round(values[-1]) for name, values in rates.items()}, flush=True)
    ratios = [a / b for a, b in zip(rates["pool"], rates["plain"], strict=True)]
    spreads = {name: spread(values) for name, values in rates.items()}
    return {
        "recipe": recipe.to_dict(),
        "members": members,
        "repeats": repeats,
        "rates": spreads,
        "ratio": spread(ratios),
    }


def plain_seconds(*, members: int, seed: int) -> float:
    """How long a plain loop takes over models on the halves of a pool, one after the other."""
    data, recipe = sources.embedded(), Recipe()
    population = data.train.joined(data.test)
    halves = leave_half_out(members, len(population), seed=seed)
    plain(replace(recipe, epochs=1), data.test, seed=seed)  # pays for imports and caches
    began = time.perf_counter()
    for member, half in enumerate(halves):
        plain(recipe, population.at(half), seed=derive(seed, "reference", member))
    return time.perf_counter() - began


READER = """
import json, sys
from pathlib import Path
import numpy as np
from obliviate.audit.audit import audit
from obliviate.audit.inputs import AuditSamples, AuditSettings, Candidate, Pool
from obliviate._util.files import sha256_of
from obliviate.references.logits import StoredLogits
from obliviate.references.plan import leave_half_out

def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(one for one in lines if one.startswith(name + ":")).split()[1])

count, samples, classes = map(int, sys.argv[3:])
paths = sorted(Path(sys.argv[1]).glob("*.safetensors"))[:count]
logits = StoredLogits.open(paths, [sha256_of(path) for path in paths], samples=samples)
generator = np.random.default_rng(0)
if sys.argv[2] == "audited":
    own = generator.normal(size=(samples, classes)).astype(np.float32)
    forget, retain, unseen = np.split(np.arange(samples), [samples // 12, 10 * samples // 12])
    parts = AuditSamples(labels=np.arange(samples) % classes, forget=forget, retain=retain, unseen=unseen)
    model = Candidate(name="a", role="unlearned", method="", seed=0, logits=own, seconds=None, weights_sha256="")
    pool = Pool(logits=logits, included=leave_half_out(count, samples, seed=0))
before = kilobytes("VmRSS")
if sys.argv[2] == "streamed":
    total = sum(float(one.sum()) for one in logits)
elif sys.argv[2] == "stacked":
    total = float(np.stack(list(logits)).sum())
else:
    total = audit([model], pool, parts, AuditSettings()).models[0].attacks["rmia"].ft.value
print(json.dumps({"before": before, "peak": kilobytes("VmHWM"), "total": total}))
"""


def memory(*, seed: int) -> dict[str, Any]:
    """Use the outputs of more and more references; megabytes by which the peak exceeds what was there before."""
    grown: dict[str, dict[str, float]] = {"streamed": {}, "stacked": {}, "audited": {}}
    generator = torch.Generator().manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        for member in range(max(COUNTS)):
            logits = torch.randn(SAMPLES, CLASSES, generator=generator)
            write_logits(Path(folder) / f"member-{member:03d}.logits.safetensors", logits)
        for count in COUNTS:
            for way, peaks in grown.items():
                command = [sys.executable, "-c", READER, folder, way, str(count), str(SAMPLES), str(CLASSES)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                reported = json.loads(done.stdout)
                peaks[str(count)] = (reported["peak"] - reported["before"]) / 1024
        paths = sorted(Path(folder).glob("*.safetensors"))
        shape = StoredLogits.open(paths, ["" for _ in paths], samples=SAMPLES).shape
    return {
        "samples": shape[1],
        "classes": shape[2],
        "member_mb": float(np.prod(shape[1:]) * 4 / 2**20),
        "peak_mb": grown,
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="pools, and as many trainings one after the other")
    parser.add_argument("--members", type=int, default=16, help="references of each pool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        print(plain_seconds(members=arguments.plain, seed=arguments.seed))
        return
    values: dict[str, Any] = {
        "throughput": throughput(members=arguments.members, repeats=arguments.repeats, seed=arguments.seed),
        "memory": memory(seed=arguments.seed),
    }
    command = f"python benchmarks/pool.py --repeats {arguments.repeats} --members {arguments.members}"
    print(json.dumps(values, indent=1))
    save("pool", provenance(f"{command} --seed {arguments.seed}") | values)


if __name__ == "__main__":
    main()
