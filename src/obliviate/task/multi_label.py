"""Several labels at once, each there or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from obliviate.task.base import Task
from obliviate.task.divergence import divergence
from obliviate.task.probabilities import SIGMOID, ends_in_probabilities, within_unit
from obliviate.types import Batch


@dataclass(frozen=True)
class MultiLabel(Task):
    """Which of `labels` labels a sample has, with binary cross-entropy; targets are 0 or 1, "n labels".

    A sample is right when all its labels are (subset accuracy); a model answers with one logit a label.

    >>> task, y = MultiLabel(labels=2), torch.tensor([[1.0, 0.0]])
    >>> task.correct(torch.tensor([[2.0, -1.0]]), y).tolist(), task.per_sample(torch.zeros(1, 2), y)
    ([True], tensor([0.6931]))
    """

    kind: ClassVar[str] = "multi-label"
    utility: ClassVar[str] = "labels"
    checks_inputs: ClassVar[bool] = False
    right: ClassVar[str] = "every label of the sample is predicted right"
    labels: int

    def per_sample(self, output: Float[Tensor, "n labels"], y: Shaped[Tensor, "n labels"]) -> Float[Tensor, " n"]:
        """Return the mean over the labels."""
        return self._by_label(output, y).mean(1)

    def nll(self, output: Float[Tensor, "n labels"], y: Shaped[Tensor, "n labels"]) -> Float[Tensor, " n"]:
        """Return the sum over the labels."""
        return self._by_label(output, y).sum(1)

    def correct(self, output: Float[Tensor, "n labels"], y: Shaped[Tensor, "n labels"]) -> Bool[Tensor, " n"]:
        return ((output > 0) == (y > 0.5)).all(1)

    def observe(self, output: Float[Tensor, "n labels"], y: Shaped[Tensor, "n labels"]) -> Float[Tensor, "n k"]:
        """Return what an audit keeps of a task without classes, and the answer to every label, 0 or 1."""
        return torch.cat([super().observe(output, y), (output > 0).float()], dim=1)

    def _by_label(self, output: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, y.to(output.dtype), reduction="none")

    def divergence(
        self,
        student: Tensor,
        teacher: Tensor,
        y: Tensor,
        *,
        temperature: float = 1.0,
    ) -> Float[Tensor, ""]:
        """Return KL of the labels, each there or not, the mean over labels and samples."""
        pairs = (torch.stack([logits, torch.zeros_like(logits)], 2).flatten(0, 1) for logits in (student, teacher))
        return divergence(*pairs, temperature=temperature)

    def check_targets(self, batch: Batch) -> tuple[int, str] | None:
        y = batch.y
        if y.ndim != 2 or y.shape[1] != self.labels:
            return -1, (
                f"expected targets of shape (n, {self.labels}), got {tuple(y.shape)}; give each sample a 0 or 1 for "
                "every label"
            )
        wrong = ((y != 0) & (y != 1)).any(1).nonzero()
        if len(wrong):
            place = int(wrong[0])
            return place, f"expected labels of 0 or 1, got {y[place].tolist()}; correct them"
        return None

    def check_output(self, output: Tensor, batch: Batch) -> str | None:
        wanted = (len(batch), self.labels)
        return None if tuple(output.shape) == wanted else f"expected an output of shape {wanted} (samples × labels)"

    def check_logits(self, output: Tensor, model: nn.Module, batch: Batch) -> tuple[str, str] | None:
        # Logits of a few labels may well lie in [0, 1]: only the operation that made them tells.
        return SIGMOID if within_unit(output) and ends_in_probabilities(model, batch) else None
