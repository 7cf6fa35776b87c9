"""How well references find labels that were changed: recall and precision by the number of references, over seeds.

    python benchmarks/wrong_labels.py --seeds 2

Of the shipped 5,000 training labels 5 % are replaced by another class, drawn evenly; then the 5 % are named that the
references contradict most (`mislabelled`), and those that they memorise most (`memorised`). As many are named as were
changed, so that recall and precision are one figure. The ranks of m references are those of the first m.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from common import provenance, save, spread

from obliviate import workflow
from obliviate._util.seeds import derive
from obliviate.data.rules import Among, Rule
from obliviate.data.samples import Samples
from obliviate.data.sources import embedded
from obliviate.experiment import Experiment
from obliviate.references.pool import ReferencePool
from obliviate.task import Classification
from obliviate.training.recipe import Recipe
from obliviate.workflow import memorised, mislabelled

SHARE = 0.05
MODELS = (4, 8, 16)
RULES: tuple[Callable[..., Rule], ...] = (mislabelled, memorised)


def spoilt(samples: Samples, seed: int) -> tuple[Samples, np.ndarray]:
    """Change a share of the labels; return the samples under their ids, and which were changed."""
    generator = np.random.default_rng(derive(seed, "wrong labels"))
    batch = samples.everything()
    wrong = generator.choice(len(samples), size=round(SHARE * len(samples)), replace=False)
    y = batch.y.clone()
    y[torch.from_numpy(wrong)] = (
        y[torch.from_numpy(wrong)] + torch.from_numpy(generator.integers(1, 10, len(wrong)))
    ) % 10
    return Samples.from_tensors(batch.x, y, ids=samples.ids.tolist()), samples.ids[wrong]


def measured(seed: int, epochs: int) -> dict[str, float]:
    """Train a pool over spoilt labels; of those that each rule names, the share that was changed, by its size."""
    data, task = embedded(), Classification(classes=10)
    train, wrong = spoilt(data.train, seed)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        pool = workflow.train_references(
            Experiment(task, Recipe(epochs=epochs), train, data.test, seed=seed),
            folder=folder,
            models=max(MODELS),
            workers=0,
        )
        figures["training seconds"] = pool.seconds
        for models in MODELS:
            first: ReferencePool = replace(pool, logits=pool.logits[:models], included=pool.included[:models])
            for rule in RULES:
                since = time.process_time()
                ids = rule(len(wrong), first, task).choose(Among(train)).ids
                figures[f"{rule.__name__} seconds {models}"] = time.process_time() - since
                figures[f"{rule.__name__} {models}"] = float(np.isin(ids, wrong).mean())
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    runs = []
    for seed in range(arguments.seeds):
        runs.append(measured(seed, arguments.epochs))
        print(json.dumps(runs[-1]), flush=True)
    command = f"python benchmarks/wrong_labels.py --seeds {arguments.seeds} --epochs {arguments.epochs}"
    figures = {name: spread([run[name] for run in runs]) for name in runs[0]}
    print(f"wrote {save('wrong_labels', provenance(command) | {'figures': figures})}")


if __name__ == "__main__":
    main()
