"""How much each weight matters to a set of samples: the diagonal of the Fisher information."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.training.gradients import gradients
from obliviate.training.run import Run


def importances(model: nn.Module, samples: Samples, run: Run, batch_size: int) -> dict[str, Tensor]:
    """The mean squared gradient of the loss for every trainable parameter (the diagonal of the Fisher information).

    Evaluation mode, float32, un-augmented. A batch counts by its size, so that a smaller last one is not overweight.
    """
    sums = {name: torch.zeros_like(weight) for name, weight in model.named_parameters() if weight.requires_grad}
    batches = run.batches(samples, batch_size, 0)
    for done, (batch, gradient) in enumerate(gradients(model, batches, run.task.loss)):
        for name, part in gradient.items():
            sums[name].addcmul_(part, part, value=len(batch) / len(samples))
        run.progress("importance", done + 1, len(batches))
    return sums
