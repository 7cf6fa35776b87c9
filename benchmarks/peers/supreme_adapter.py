"""SUPREME 0.1.5 (PyPI `supreme-unlearning`): its method functions on one CPU, without its pipeline and its logging."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from exchange import Job, serve
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset


class Triples(Dataset[Any]):
    """Its data sets give image, coarse label and label."""

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> tuple[Tensor, int, int]:
        x, y = self.pairs[place]
        return x, int(y), int(y)


def prepare(job: Job) -> Callable[[], nn.Module]:
    """Import the function that the settings name; its test loader is given the training samples."""
    method = job.settings["method"]
    function = getattr(importlib.import_module(f"supreme.methods.unlearning_methods.{method}"), method)
    fabric: Any = importlib.import_module("lightning.fabric").Fabric(accelerator="cpu", devices=1)
    options = dict(job.settings.get("options", {}))
    if method == "ssd":  # what its pipeline sets where random samples are to be forgotten
        options |= {"dampening_constant": 1.0, "selection_weighting": 10.0}
    if "learning_rate" in job.settings:
        options["sgda_learning_rate"] = job.settings["learning_rate"]  # only its `scrub` takes one

    def unlearn() -> nn.Module:
        whole: Any = ConcatDataset([job.retain, job.forget])
        loaders = {
            name: DataLoader(Triples(part), batch_size=128, shuffle=True)
            for name, part in (("retain", job.retain), ("forget", job.forget), ("full", whole))
        }
        function(
            fabric=fabric,
            num_gpus=1,
            wandb_logging_flag=False,
            model=fabric.setup_module(job.network),
            num_labels=job.classes,
            type_of_unlearning_strategy="random_",
            **{f"{name}_{part}_dataloader": loader for name, loader in loaders.items() for part in ("train", "test")},
            **options,
        )
        return job.network

    return unlearn


if __name__ == "__main__":
    serve(prepare)
