"""The next token of every token: language models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from obliviate.task.base import Task
from obliviate.task.divergence import divergence
from obliviate.task.probabilities import SOFTMAX, are_distributions
from obliviate.types import Batch

IGNORED: Final = -100
"""The target of positions that do not count, such as padding."""


@dataclass(frozen=True)
class CausalLM(Task):
    """Prediction of the next token, with cross-entropy; inputs and targets are token ids, "n length".

    `y[i, t]` is the token after `x[i, t]`, or −100 where there is none to predict. A model answers with one logit a
    token of the vocabulary, at every position: "n length tokens". Losses are means over a sample's positions, in nats,
    so that e to their mean is the perplexity where samples are of one length.

    >>> task, x = CausalLM(tokens=3), torch.tensor([[0, 1]])
    >>> task.per_sample(torch.zeros(1, 2, 3), torch.tensor([[1, -100]]))
    tensor([1.0986])
    """

    kind: ClassVar[str] = "causal-lm"
    utility: ClassVar[str] = "tokens"
    right: ClassVar[str] = "the share of next tokens that are predicted right"
    tokens: int

    def per_sample(self, output: Float[Tensor, "n length tokens"], y: Int[Tensor, "n length"]) -> Float[Tensor, " n"]:
        """Return the mean over the positions that count."""
        losses = F.cross_entropy(output.flatten(0, 1), y.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view_as(y).sum(1) / (y != IGNORED).sum(1)

    def nll(self, output: Float[Tensor, "n length tokens"], y: Int[Tensor, "n length"]) -> Float[Tensor, " n"]:
        """Return the mean over the positions: the likelihood of a whole text is too small to compare."""
        return self.per_sample(output, y)

    def correct(self, output: Float[Tensor, "n length tokens"], y: Int[Tensor, "n length"]) -> Float[Tensor, " n"]:
        """Return the share of next tokens that have the largest logit."""
        return (output.argmax(2) == y).sum(1) / (y != IGNORED).sum(1)

    def divergence(
        self, student: Tensor, teacher: Tensor, y: Int[Tensor, "n length"], *, temperature: float = 1.0
    ) -> Float[Tensor, ""]:
        """Return KL of the next tokens, the mean over the positions that count."""
        counts = y != IGNORED
        return divergence(student[counts], teacher[counts], temperature=temperature)

    def check_targets(self, batch: Batch) -> tuple[int, str] | None:
        x, y = batch.x, batch.y
        if x.ndim != 2 or x.shape != y.shape or torch.int64 not in (x.dtype, y.dtype) or x.dtype != y.dtype:
            return -1, (
                f"expected int64 tokens (n, length) as inputs and as targets, got {x.dtype} of shape {tuple(x.shape)} "
                f"and {y.dtype} of shape {tuple(y.shape)}; the target of a token is the one after it"
            )
        strange = ((x < 0) | (x >= self.tokens) | (y >= self.tokens) | ((y < 0) & (y != IGNORED))).any(1).nonzero()
        if len(strange):
            return int(strange[0]), (
                f"expected tokens in 0 … {self.tokens - 1}, got others; correct them or the number of tokens"
            )
        empty = (y == IGNORED).all(1).nonzero()
        if len(empty):
            return int(empty[0]), "expected a token to predict, got none; leave such samples out"
        return None

    def check_output(self, output: Tensor, batch: Batch) -> str | None:
        wanted = (*batch.x.shape, self.tokens)
        fits = tuple(output.shape) == wanted
        return None if fits else f"expected an output of shape {wanted} (samples × positions × tokens)"

    def check_logits(self, output: Tensor, model: nn.Module, batch: Batch) -> tuple[str, str] | None:
        return SOFTMAX if are_distributions(output) else None
