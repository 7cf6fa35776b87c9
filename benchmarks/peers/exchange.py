"""What every adapter shares: read the job, build the network, time the peer's work, write the weights back.

An adapter is run as `python ADAPTER JOB_FOLDER CHECKOUT` in a process of its own, with the peer's checkout (or the
folder it was installed to) first on the path. It needs torch, numpy and safetensors, and nothing of obliviate.
"""

from __future__ import annotations

import copy
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Network(nn.Module):
    """The architecture `small_cnn`, in plain torch; `Job.read` checks that it computes what the original computes."""

    def __init__(self, *, classes: int, channels: int, size: int, width: int = 16, hidden: int = 256) -> None:
        super().__init__()
        side = -(-size // 2) // 2
        self.conv1 = nn.Conv2d(channels, width, kernel_size=5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(width, 2 * width, kernel_size=3, padding=1)
        self.linear1 = nn.Linear(2 * width * side * side, hidden)
        self.linear2 = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


@dataclass(frozen=True, eq=False)
class Job:
    """One request: the original network, what it should forget and keep, and the settings of the peer's method."""

    network: Network
    forget: TensorDataset
    retain: TensorDataset
    classes: int
    settings: dict[str, Any]
    limit: int

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read what `benchmarks/peers.py` wrote; raises ValueError for a network that computes something else."""
        facts = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        network = Network(**facts["network"])
        network.load_state_dict(load_file(folder / "original.safetensors"))
        arrays = np.load(folder / "split.npz")
        parts = {
            part: TensorDataset(torch.from_numpy(arrays[f"{part}_x"]), torch.from_numpy(arrays[f"{part}_y"]))
            for part in ("forget", "retain")
        }
        network.eval()
        with torch.no_grad():
            difference = float((network(parts["forget"].tensors[0]) - torch.from_numpy(arrays["outputs"])).abs().max())
        if difference > 1e-3:
            raise ValueError(f"expected the original's outputs, got others by {difference}; correct the network")
        torch.manual_seed(facts["seed"])
        np.random.seed(facts["seed"])
        return cls(
            network, **parts, classes=facts["network"]["classes"], settings=facts["settings"], limit=facts["limit"]
        )

    def loader(self, part: TensorDataset, *, shuffle: bool = True) -> DataLoader[Any]:
        """Batches of a part, as a user of the peer would make them."""
        return DataLoader(part, batch_size=self.settings.get("batch_size", 128), shuffle=shuffle)


def serve(prepare: Callable[[Job], Callable[[], nn.Module]]) -> None:
    """Do the job of the command line: `prepare` imports the peer, and what it returns is timed."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    sys.path.insert(0, sys.argv[2])
    job = Job.read(folder)
    unlearn = prepare(job)
    warm_up(job)
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + job.limit, used + job.limit + 5))
    began = spent()
    unlearned = unlearn()
    seconds = spent() - began
    state = {name: value.detach().contiguous().clone() for name, value in unlearned.state_dict().items()}
    save_file(state, folder / "unlearned.safetensors", {"cpu_seconds": str(seconds), "torch": torch.__version__})


def spent() -> float:
    """CPU seconds of this process and of the processes that it has waited for, such as those of data loaders."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited.ru_utime + waited.ru_stime


def warm_up(job: Job) -> None:
    """Take one backward pass on a copy, so that what torch does once per process is not counted."""
    x, y = (tensor[:64] for tensor in job.forget.tensors)
    F.cross_entropy(copy.deepcopy(job.network)(x), y).backward()
