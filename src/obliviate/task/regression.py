"""One or more numbers for each sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from obliviate.errors import DataError
from obliviate.task.base import Task
from obliviate.types import Batch


@dataclass(frozen=True)
class Regression(Task):
    """Prediction of numbers, with the squared error; targets are floats, "n" or "n outputs".

    `scale` is the standard deviation of the noise that is taken for granted, in units of the target: the likelihood is
    Gaussian, and the loss ½ (error / scale)². A prediction is right when every error is at most `tolerance`, in units
    of the target, by default the scale. Standardised targets suit the defaults.

    >>> import torch
    >>> task = Regression(tolerance=0.5)
    >>> task.per_sample(torch.tensor([[1.0]]), torch.tensor([3.0])), task.correct(torch.tensor([[1.0]]), torch.ones(1))
    (tensor([2.]), tensor([True]))
    """

    kind: ClassVar[str] = "regression"
    utility: ClassVar[str] = "numbers"
    checks_inputs: ClassVar[bool] = False
    right: ClassVar[str] = "the error is within the tolerance"
    outputs: int = 1
    scale: float = 1.0
    tolerance: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("scale", self.scale), ("tolerance", self.tolerance)):
            if value is not None and not value > 0:
                raise DataError(f"expected {name} above 0, got {value}; the spread of the targets is a good scale")

    def per_sample(self, output: Float[Tensor, "n ..."], y: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the mean over the outputs."""
        return 0.5 * (self._errors(output, y) / self.scale).square().mean(1)

    def nll(self, output: Float[Tensor, "n ..."], y: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the sum over the outputs."""
        return 0.5 * (self._errors(output, y) / self.scale).square().sum(1)

    def null_loss(self, y: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the loss of the targets' mean."""
        return self.nll(y.mean(dim=0, keepdim=True).expand_as(y), y)

    def correct(self, output: Float[Tensor, "n ..."], y: Float[Tensor, "n ..."]) -> Bool[Tensor, " n"]:
        tolerance = self.scale if self.tolerance is None else self.tolerance
        return (self._errors(output, y).abs() <= tolerance).all(1)

    def signals(self, output: Float[Tensor, "n ..."], y: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return what an audit keeps, and the predictions."""
        return torch.cat([self.observe(output, y), output.reshape(len(output), self.outputs)], dim=1)

    def _errors(self, output: Tensor, y: Tensor) -> Tensor:
        return output.reshape(len(output), self.outputs) - y.reshape(len(y), self.outputs)

    def divergence(
        self,
        student: Tensor,
        teacher: Tensor,
        y: Tensor,
        *,
        temperature: float = 1.0,
    ) -> Float[Tensor, ""]:
        """Return KL of the Gaussians around both predictions; softening both by T divides it by T², which T² undoes."""
        return 0.5 * ((student.float() - teacher.float()) / self.scale).square().mean()

    def check_targets(self, batch: Batch) -> tuple[int, str] | None:
        y = batch.y
        shapes = [(self.outputs,)] + [()] * (self.outputs == 1)
        if tuple(y.shape[1:]) not in shapes or not y.is_floating_point():
            return -1, (
                f"expected float targets of shape (n, {self.outputs}), got {y.dtype} of shape {tuple(y.shape)}; "
                "convert them with `.float()`, or say how many `outputs` there are"
            )
        return None

    def check_output(self, output: Tensor, batch: Batch) -> str | None:
        wanted = (len(batch), self.outputs)
        fits = tuple(output.shape) == wanted or (self.outputs == 1 and tuple(output.shape) == wanted[:1])
        return None if fits else f"expected an output of shape {wanted} (samples × numbers)"
