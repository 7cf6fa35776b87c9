"""Model outputs and losses without gradients: always float32, evaluation mode, in the order of the samples.

`batch_size` is the evaluation batch of `training.compute` if left out.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from obliviate._util.modes import evaluating, untracked_norms
from obliviate.data.loading import Batches, bounded
from obliviate.data.samples import Samples
from obliviate.models.answers import ask
from obliviate.task import Task
from obliviate.training.compute import Compute

ON_PROCESSOR: Final = 128
"""Samples that a processor is asked about at once for a mean, at most: what it computes of more leaves its caches, and
takes memory from the system and gives it back at every batch. Only losses in batches of one or two have other bits."""


@torch.no_grad()
def outputs(
    model: nn.Module, samples: Samples, *, task: Task | None = None, batch_size: int | None = None
) -> Float[Tensor, " n ..."]:
    """Return the model's outputs, on the processor, without autocast.

    They are as the `task` reads them: of a model with one logit for two classes, both. Without it they are the tensor
    that the model answers with, or holds in its answer (`models.answers.tensor_of`).

    >>> from obliviate.models import ARCHITECTURES
    >>> samples = Samples.from_tensors(torch.zeros(3, 784), torch.zeros(3).long())
    >>> outputs(ARCHITECTURES["mlp"](), samples).shape
    torch.Size([3, 10])
    """
    with evaluating(model):
        asked = ask if task is None else task.ask
        return torch.cat([asked(model, batch.x).float().cpu() for batch in _batches(model, samples, batch_size)])


@torch.no_grad()
def observed(model: nn.Module, samples: Samples, task: Task, *, batch_size: int | None = None) -> Float[Tensor, "n k"]:
    """Return what an audit keeps of the model's outputs (`Task.observe`), on the processor, without autocast.

    >>> from obliviate.models import ARCHITECTURES
    >>> from obliviate.task import Regression
    >>> samples = Samples.from_tensors(torch.zeros(3, 784), torch.zeros(3, 10))
    >>> observed(ARCHITECTURES["mlp"](), samples, Regression(outputs=10)).shape
    torch.Size([3, 3])
    """
    device = next(model.parameters()).device
    with evaluating(model):
        parts = [
            task.observe(task.ask(model, batch.x).float(), batch.y)
            for batch in (batch.to(device) for batch in _batches(model, samples, batch_size))
        ]
    return torch.cat([part.cpu() for part in parts])


@torch.no_grad()
def mean_loss(model: nn.Module, samples: Samples, task: Task, *, batch_size: int | None = None) -> float:
    """Return the mean of the task's per-sample losses over all samples, on a processor in equal batches.

    >>> from obliviate.models import ARCHITECTURES
    >>> from obliviate.task import Classification
    >>> model = ARCHITECTURES["mlp"](features=4, classes=2, hidden=())
    >>> for one in model.parameters():
    ...     _ = nn.init.zeros_(one)
    >>> samples = Samples.from_tensors(torch.rand(3, 4), torch.tensor([0, 1, 0]))
    >>> round(mean_loss(model, samples, Classification(classes=2)), 4)  # log 2
    0.6931
    """
    device = next(model.parameters()).device
    if batch_size is None and device.type == "cpu":
        most = min(Compute.current().evaluation_batch, ON_PROCESSOR)
        batch_size = math.ceil(len(samples) / math.ceil(len(samples) / most))
    with evaluating(model):
        losses = [task.losses(model, batch.to(device)) for batch in _batches(model, samples, batch_size)]
    return float(torch.cat(losses).double().mean())


def _batches(model: nn.Module, samples: Samples, batch_size: int | None) -> Batches:
    compute = Compute.current()
    size = bounded(samples, batch_size or compute.evaluation_batch)
    if untracked_norms(model) and size > 1 and len(samples) > size and len(samples) % size == 1:
        size = math.ceil(len(samples) / math.ceil(len(samples) / size)) if size > 2 else size + 1
    return Batches(samples, size, workers=compute.loader_workers)
