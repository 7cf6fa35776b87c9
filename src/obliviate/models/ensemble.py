"""An ensemble of classifiers that were trained apart, whose votes are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from obliviate.models.answers import binary_logits, tensor_of


class Ensemble(nn.Module):
    """Average the class probabilities of the constituents; the output is the logarithm of the mean.

    A log-probability is a logit, so losses, attacks and audits read it as any other classifier's output. Bourtoule et
    al. 2021, section IV-C (there by majority or by the mean vector).

    >>> halves = Ensemble([nn.Identity(), nn.Identity()])
    >>> halves(torch.zeros(1, 4)).exp()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    def __init__(self, constituents: Iterable[nn.Module]) -> None:
        super().__init__()
        self.constituents = nn.ModuleList(constituents)

    def __len__(self) -> int:
        return len(self.constituents)

    def forward(self, x: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        votes = torch.stack([_logits(constituent(x)).log_softmax(1) for constituent in self.constituents])
        return votes.logsumexp(0) - math.log(len(self))


def _logits(output: object) -> Float[Tensor, "n classes"]:
    """The logits that a constituent answers with; one logit a sample is that of the second of two classes."""
    logits = tensor_of(output, of="a constituent").float()
    return binary_logits(logits) if logits.ndim == 1 or logits.shape[1] == 1 else logits
