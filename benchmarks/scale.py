"""What samples cost against their number: loading, splitting, one pass of training; and ids of ten million.

Each size runs in a process of its own, whose peak memory is told: inputs of 3 × 32 × 32 bytes lie in a file of zeros
that takes no room on the disk, which is mapped, so that seconds are those of the package and of memory, not of a disk.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] [--ids 10000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import provenance, save
from torch import nn

from obliviate import Samples, Split
from obliviate.data.ids import as_ids
from obliviate.task import Classification
from obliviate.training.optimizers import SGD
from obliviate.training.run import Run

SHAPE = (3, 32, 32)
CLASSES = 10
BATCH = 250


def named(n: int) -> np.ndarray:
    """Names as files have them."""
    return np.char.add("sample-", np.arange(n).astype("U8"))


def measured(n: int, folder: Path) -> dict[str, Any]:
    """Seconds of each step with n samples, and the memory of this process before and at most."""
    path, ids = folder / f"{n}.npy", named(n)
    whole = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, *SHAPE))
    whole[:: max(1, n // 1000), 0, 0, 0] = 255
    whole.flush()
    del whole
    y = np.arange(n) % CLASSES
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(SHAPE)), CLASSES))
    run = Run(Classification(classes=CLASSES), device="cpu", precision="float32")
    optimizer = run.optimizer(model, SGD(learning_rate=0.01))
    before, seconds, started = peak(), dict[str, float](), time.perf_counter()

    def report(name: str) -> None:
        nonlocal started
        seconds[name] = round(time.perf_counter() - started, 4)
        started = time.perf_counter()

    samples = Samples.from_arrays(np.load(path, mmap_mode="r"), y, ids=ids)
    report("load")
    split = Split.of(samples, forget="random:0.1")
    report("split")
    run.fit(model, run.batches(split.kept, BATCH, 0), run.task.loss, optimizer)
    report("train")
    hashed = samples.sha256
    report("hash")
    path.unlink()
    return {"samples": n, "seconds": seconds, "mib_before": before, "mib_peak": peak(), "sha256": hashed[:12]}


def of_ids(n: int) -> dict[str, Any]:
    """Seconds of checking n ids, of finding a tenth of them, and of leaving these out."""
    names, rows = named(n), torch.zeros(n, 1)
    started = time.perf_counter()
    ids = as_ids(names, what="ids")
    checked = time.perf_counter() - started
    samples = Samples.from_tensors(rows, torch.zeros(n), ids=ids)
    started = time.perf_counter()
    split = Split.of(samples, forget=ids[::10])
    return {
        "ids": n,
        "seconds": {"check": round(checked, 2), "split": round(time.perf_counter() - started, 2)},
        "forget": len(split.forget),
        "mib_peak": peak(),
    }


def peak() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def slope(rows: list[dict[str, Any]], name: str) -> float:
    """The slope of log seconds of a step on log size, by least squares."""
    sizes, seconds = [row["samples"] for row in rows], [row["seconds"][name] for row in rows]
    return round(float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 31_623, 100_000, 316_228, 1_000_000])
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--only", choices=["size", "ids"], help="what a process of its own measures; for this script")
    options = parser.parse_args()
    if options.only:
        with tempfile.TemporaryDirectory() as folder:
            figures = measured(options.sizes[0], Path(folder)) if options.only == "size" else of_ids(options.ids)
        print(json.dumps(figures))
        return
    rows = [alone("size", "--sizes", str(size)) for size in options.sizes]
    results = {
        **provenance("python benchmarks/scale.py"),
        "sizes": rows,
        "slopes": {name: slope(rows, name) for name in ("split", "train", "hash")},
        "ids": alone("ids", "--ids", str(options.ids)),
    }
    save("scale", results)
    print(json.dumps(results, indent=1))


def alone(what: str, *options: str) -> dict[str, Any]:
    """Measure in a new process, whose peak of memory is its own."""
    command = [sys.executable, __file__, "--only", what, *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
