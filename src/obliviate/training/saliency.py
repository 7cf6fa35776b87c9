"""Which weights a forget set depends on most: the gradient saliency mask of SalUn."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from obliviate.data.loading import Batches
from obliviate.data.samples import Samples
from obliviate.errors import MethodError
from obliviate.task import Task
from obliviate.training.gradients import gradients


def saliency_mask(
    model: nn.Module, forget: Samples, task: Task, *, share: float = 0.5, batch_size: int = 128
) -> dict[str, Bool[Tensor, ...]]:
    """Mark the top `share` of all weights by |Σ ∇ℓ(θ_o; D_F)| (Fan et al. 2024, SalUn, eq. 4–5; threshold γ = median).

    Evaluation mode, float32, un-augmented samples. The mask holds exactly ⌈share · weights⌉ true entries; parameters on
    which the loss does not depend, such as embeddings where embeddings are given, are not counted.

    >>> from obliviate.models import ARCHITECTURES
    >>> from obliviate.task import Classification
    >>> model = ARCHITECTURES["mlp"](features=4, classes=2, hidden=())
    >>> forget = Samples.from_tensors(torch.rand(3, 4), torch.tensor([0, 1, 0]))
    >>> mask = saliency_mask(model, forget, Classification(classes=2))
    >>> sum(int(part.sum()) for part in mask.values())
    5
    """
    if not 0 < share <= 1:
        raise MethodError(f"expected a saliency share in (0, 1], got {share}; the paper's is 0.5")
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    sums, used = [torch.zeros_like(weight) for _, weight in named], set[str]()
    for _, gradient in gradients(model, Batches(forget, batch_size), lambda net, batch: task.losses(net, batch).sum()):
        used |= gradient.keys()
        for (name, _), accumulated in zip(named, sums, strict=True):
            if name in gradient:
                accumulated.add_(gradient[name])
    size = torch.cat([weight.abs().flatten() for weight in sums])
    keep = torch.zeros_like(size, dtype=torch.bool)
    weights = sum(weight.numel() for name, weight in named if name in used)
    keep[size.topk(math.ceil(round(share * weights, 6))).indices] = True
    parts = keep.split([weight.numel() for weight in sums])
    return {name: part.view_as(weight) for (name, weight), part in zip(named, parts, strict=True)}
