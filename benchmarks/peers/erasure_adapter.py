"""ERASURE (github aiim-research/ERASURE): its unlearners, without its configuration files and its data sets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from exchange import Job, serve
from torch import Tensor, nn
from torch.utils.data import ConcatDataset


class Pair(nn.Module):
    """Its models return features and logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.network(x)


class Data:
    """Its manager of data sets, as far as unlearners use it."""

    def __init__(self, job: Job) -> None:
        everything: Any = ConcatDataset([job.forget, job.retain])
        self.parts = {"retain": job.retain, "forget": job.forget, "train": everything}
        self.n_classes, self.batch_size, self.loader = job.classes, 128, job.loader

    def get_loader_for(self, name: str, *_: Any) -> tuple[Any, None]:
        return self.loader(self.parts[name.removesuffix(" set")]), None


def prepare(job: Job) -> Callable[[], nn.Module]:
    """Import the unlearner that the settings name; what they do not set is the peer's default."""
    method = job.settings["method"]
    unlearner = getattr(importlib.import_module(f"erasure.unlearners.{method}"), method)
    parameters = dict(job.settings.get("options", {}))
    if "learning_rate" in job.settings:
        optimizer = {"class": "torch.optim.Adam", "parameters": {"lr": job.settings["learning_rate"]}}
        parameters["optimizer"] = optimizer

    def unlearn() -> nn.Module:
        model = Pair(job.network)
        still = torch.optim.lr_scheduler.ConstantLR(torch.optim.SGD(model.parameters(), lr=1.0), factor=1.0)
        predictor = SimpleNamespace(model=model, loss_fn=nn.CrossEntropyLoss(), lr_scheduler=still, device="cpu")
        local = SimpleNamespace(config={"parameters": parameters}, dataset=Data(job), predictor=predictor)
        unlearner(SimpleNamespace(cached=False), local).unlearn()
        return job.network

    return unlearn


if __name__ == "__main__":
    serve(prepare)
