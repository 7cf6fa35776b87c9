"""AMUN's authors (github Ali-E/AMUN): their search and the fine-tuning of their script, without its data sets.

`adversarial_unlearn.py` reads the command line, a file of paths and a list of indices when it is imported, and its
`train` takes the rest from global names; both are given here what the script itself would have read for CIFAR-10. The
training samples are the job's, without the crops and flips that the script applies to CIFAR-10.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from exchange import Job, serve
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset


class WholeLabels(Dataset[Any]):
    """Its data sets give labels as whole numbers."""

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        x, y = self.pairs[place]
        return x, int(y)


def prepare(job: Job) -> Callable[[], nn.Module]:
    """Import the script as for `--unlearn_method amun`; `LRsteps` 1 and 10 epochs are the defaults of its tuning."""
    rate = job.settings["learning_rate"]
    forgotten = list(range(len(job.forget)))
    Path("path_file.csv").write_text("info,path\nbase_path,logs/\n")
    Path("indices.csv").write_text("\n".join(["unlearn_idx", *map(str, forgotten)]))
    options = {"unlearn_method": "amun", "unlearn_indices": "indices.csv", "source_model_path": "none", "lr": rate}
    options |= {"num_classes": job.classes, "adv_images": "images.pt", "adv_delta": "labels.csv", "method": "orig"}
    sys.argv = [sys.argv[0], *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
    peer: Any = importlib.import_module("adversarial_unlearn")

    def unlearn() -> nn.Module:
        x, y = job.forget.tensors
        images, _, labels, _, distance = peer.PGDL2(job.network)(x, y)
        torch.save(images, "images.pt")
        peer.pd.DataFrame({"adv_pred": labels.tolist(), "delta_norm": distance.tolist()}).to_csv(
            "labels.csv", index=False
        )
        peer.net, peer.trainset = job.network, WholeLabels(ConcatDataset([job.forget, job.retain]))
        peer.unlearn_idx, peer.count_setp = forgotten, 0
        optimizer = torch.optim.SGD(peer.net.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
        loss = nn.CrossEntropyLoss()
        for epoch in range(10):
            peer.train(epoch, optimizer, schedule, loss, "amun", model_path="checkpoint")
        return peer.net

    return unlearn


if __name__ == "__main__":
    serve(prepare)
