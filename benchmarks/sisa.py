"""What training in shards costs in accuracy, and what forgetting by SISA costs in time.

    OMP_NUM_THREADS=1 python benchmarks/sisa.py [--shards 5] [--slices 10] [--seed 0]

One model in shards and one plain model of the shipped data; then requests of 1, 10, 50 and 500 random samples, each
from the original's checkpoints. Times are process CPU seconds of one thread. Writes `benchmarks/results/sisa.json`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import provenance, save
from torch import nn

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data import sources
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.experiment import Experiment
from obliviate.methods.sisa import SISA
from obliviate.models.ensemble import Ensemble
from obliviate.task import Classification
from obliviate.training.inference import outputs
from obliviate.training.recipe import Recipe

COUNTS = (1, 10, 50, 500)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Do the work and return what it made and the CPU seconds it took."""
    began = time.process_time()
    outcome = work()
    return outcome, time.process_time() - began


def main() -> None:
    """Train, forget, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=5, help="parts of the data with a model each")
    parser.add_argument("--slices", type=int, default=10, help="parts of each shard")
    parser.add_argument("--seed", type=int, default=0, help="of the training and of the requests")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    data, task, seed = sources.embedded(), Classification(classes=10), arguments.seed
    recipe = Recipe(shards=arguments.shards, slices=arguments.slices)

    def accuracy(model: nn.Module, samples: Samples) -> float:
        return 100 * float(task.correct(outputs(model, samples), samples.everything().y).float().mean())

    plain, plain_seconds = timed(lambda: workflow.train(Experiment(task, Recipe(), data.train, seed=seed)).model)
    values: dict[str, Any] = {
        "plain": {"test": accuracy(plain, data.test), "cpu_seconds": plain_seconds},
        "requests": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "checkpoints"
        model, whole = timed(
            lambda: workflow.train(Experiment(task, recipe, data.train, seed=seed), checkpoints=root).model
        )
        assert isinstance(model, Ensemble)
        values["sharded"] = {
            "test": accuracy(model, data.test),
            "train": accuracy(model, data.train),
            "constituents": [accuracy(constituent, data.test) for constituent in model.constituents],
            "cpu_seconds": whole,
            "megabytes": sum(path.stat().st_size for path in root.glob("*/*")) / 1e6,
        }
        print(values)
        for count in COUNTS:
            own = Path(shutil.copytree(root, Path(folder) / f"of-{count}"))
            generator = np.random.default_rng(derive(seed, "sisa", count))
            split = Split.of(data.train, forget=generator.choice(data.train.ids, size=count, replace=False))

            def forget(split: Split = split, own: Path = own) -> workflow.TrainedModel:
                return workflow.unlearn(
                    workflow.TrainedModel.given(model, task, recipe=recipe, checkpoints=own),
                    split,
                    SISA(),
                    seed=seed,
                    measure=None,
                )

            unlearned, seconds = timed(forget)
            request = {"count": count, "share": seconds / whole, "of_plain": seconds / plain_seconds, **unlearned.notes}
            request |= {"test": accuracy(unlearned.model, data.test), "forget": accuracy(unlearned.model, split.forget)}
            values["requests"].append(request)
            print(request, flush=True)
    command = f"python benchmarks/sisa.py --shards {recipe.shards} --slices {recipe.slices} --seed {seed}"
    save("sisa", provenance(command) | {"recipe": recipe.to_dict()} | values)


if __name__ == "__main__":
    main()
