"""Model outputs for audits: always float32, evaluation mode, in the order of the samples."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from obliviate.data.loading import Batches
from obliviate.data.samples import Samples


@torch.no_grad()
def outputs(model: nn.Module, samples: Samples, *, batch_size: int = 500) -> Float[Tensor, " n ..."]:
    """Return the model's outputs, on the processor, without autocast.

    >>> from obliviate.models import ARCHITECTURES
    >>> samples = Samples.from_tensors(torch.zeros(3, 784), torch.zeros(3).long())
    >>> outputs(ARCHITECTURES["mlp"](), samples).shape
    torch.Size([3, 10])
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        return torch.cat([model(batch.x.to(device)).float().cpu() for batch in Batches(samples, batch_size)])
    finally:
        model.train(training)
