"""An ensemble of classifiers that were trained apart, whose votes are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


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
        votes = torch.stack([one(x).float().log_softmax(1) for one in self.constituents])
        return votes.logsumexp(0) - math.log(len(self))
