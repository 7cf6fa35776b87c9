"""torchunlearn (github Harry24k/machine-unlearning-pytorch): its trainers, set up as its README shows."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from exchange import Job, serve
from torch import nn


def prepare(job: Job) -> Callable[[], nn.Module]:
    """Import the method that the settings name; `options` are its own, the optimiser is SGD as in the README."""
    peer = importlib.import_module("torchunlearn")
    method = getattr(importlib.import_module("torchunlearn.unlearn"), job.settings["method"])
    merged = importlib.import_module("torchunlearn.utils.data").MergedLoaders

    def unlearn() -> nn.Module:
        channels = job.forget.tensors[0].shape[1]
        identity = {"mean": [0.0] * channels, "std": [1.0] * channels}
        wrapped = peer.RobModel(job.network, n_classes=job.classes, normalization_used=identity)
        loaders = {"Retain": job.loader(job.retain), "Forget": job.loader(job.forget)}
        trainer = method(wrapped, **job.settings["options"])
        if hasattr(trainer, "compute_saliency_mask"):
            trainer.compute_saliency_mask(loaders["Forget"])
        rate, epochs = job.settings["learning_rate"], job.settings["epochs"]
        trainer.setup(optimizer=f"SGD(lr={rate}, momentum=0.9, weight_decay=5e-4)", n_epochs=epochs)
        trainer.fit(train_loaders=merged(loaders), n_epochs=epochs)
        return wrapped.model

    return unlearn


if __name__ == "__main__":
    serve(prepare)
