"""Erasus 0.2.0 (PyPI): its strategies for classifiers through `ErasusUnlearner`, without coreset selection."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from exchange import Job, serve
from torch import nn


def prepare(job: Job) -> Callable[[], nn.Module]:
    """Import the unlearner; the settings name the strategy, and what they do not set is the peer's default."""
    peer = importlib.import_module("erasus.unlearners.erasus_unlearner").ErasusUnlearner
    options = dict(job.settings.get("options", {}))
    if "learning_rate" in job.settings:
        options["lr"] = job.settings["learning_rate"]

    def unlearn() -> nn.Module:
        unlearner = peer(job.network, strategy=job.settings["method"], strategy_kwargs=options, device="cpu")
        unlearner.fit(job.loader(job.forget), job.loader(job.retain))
        return unlearner.model

    return unlearn


if __name__ == "__main__":
    serve(prepare)
