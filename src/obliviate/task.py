"""What a task means: per-sample losses, correctness, and the score that audits compare.

Nothing else in the package knows what the data are.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from obliviate.data.samples import CHUNK, Samples
from obliviate.errors import DataError, RecipeError
from obliviate.modes import evaluating
from obliviate.types import Batch


@dataclass(frozen=True)
class InputSpace:
    """The continuous inputs that a method may perturb, with the valid range of each value."""

    low: float
    high: float


class Task(ABC):
    """A learning task: it turns (model, batch) into per-sample losses, and outputs into correctness and scores."""

    kind: ClassVar[str]

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Float[Tensor, " n"]:
        """Return one loss per sample, in float32, with gradients."""

    @abstractmethod
    def correct(self, output: Tensor, y: Tensor) -> Bool[Tensor, " n"]:
        """Tell for each sample whether the model's prediction is right."""

    @abstractmethod
    def score(self, output: Tensor, y: Tensor) -> Float[Tensor, " n"]:
        """Return the per-sample confidence score in which members and non-members differ, higher for members."""

    @abstractmethod
    def check_samples(self, samples: Samples, *, what: str) -> None:
        """Refuse samples that are not of this task; raises DataError."""

    @abstractmethod
    def check_model(self, model: nn.Module, samples: Samples) -> None:
        """Refuse a model whose output does not fit the task; raises RecipeError."""

    @property
    def input_space(self) -> InputSpace | None:
        """The continuous input space that a method may perturb; None where there is none."""
        return None

    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""
        return self.losses(model, batch).mean()


@dataclass(frozen=True)
class Classification(Task):
    """Classification into `classes` classes, with cross-entropy; labels are integers in [0, classes).

    `input_range` is the valid range of input values, as the model receives them; None forbids perturbing inputs.

    >>> task = Classification(classes=2)
    >>> task.score(torch.tensor([[0.0, 3.0]]), torch.tensor([1]))
    tensor([3.])
    """

    kind: ClassVar[str] = "classification"
    classes: int
    input_range: tuple[float, float] | None = (0.0, 1.0)

    @property
    def input_space(self) -> InputSpace | None:
        return None if self.input_range is None else InputSpace(*self.input_range)

    def losses(self, model: nn.Module, batch: Batch) -> Float[Tensor, " n"]:
        return F.cross_entropy(model(batch.x).float(), batch.y, reduction="none")

    def correct(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        return output.argmax(1) == y

    def score(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return the margin φ = z_y − log Σ_{j≠y} exp z_j (Carlini et al. 2022, LiRA, eq. 5)."""
        true = output.gather(1, y[:, None])
        others = output.scatter(1, y[:, None], -torch.inf)
        return true[:, 0] - others.logsumexp(1)

    def check_samples(self, samples: Samples, *, what: str) -> None:
        for places in torch.arange(len(samples)).split(CHUNK):
            y = samples.take(places).y
            if y.dtype != torch.int64 or y.ndim != 1:
                raise DataError(
                    f"expected one int64 label per sample of the {what}, got {y.dtype} labels of shape "
                    f"{tuple(y.shape)}; convert them with `.long()`"
                )
            wrong = ((y < 0) | (y >= self.classes)).nonzero()
            if len(wrong):
                place = int(wrong[0])
                raise DataError(
                    f"expected labels in 0 … {self.classes - 1}, got {int(y[place])} in sample "
                    f"{str(samples.ids[int(places[place])])!r} of the {what}; "
                    "correct the label or the number of classes"
                )

    def check_model(self, model: nn.Module, samples: Samples) -> None:
        batch = samples.take(torch.arange(min(2, len(samples))))
        parameter = next(model.parameters(), None)
        try:
            with torch.no_grad(), evaluating(model):
                output = model(batch.x if parameter is None else batch.x.to(parameter.device))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise RecipeError(
                f"expected a model that takes inputs of shape {tuple(batch.x.shape)}, got an error from "
                f"{type(model).__name__} ({error}); check the number of channels and the image size"
            ) from error
        wanted = (len(batch), self.classes)
        if not isinstance(output, Tensor) or tuple(output.shape) != wanted:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise RecipeError(
                f"expected an output of shape {wanted} (samples × classes), got {got} from {type(model).__name__}; "
                "change the last layer or the number of classes"
            )


TASKS: Final[dict[str, type[Task]]] = {Classification.kind: Classification}


def to_dict(task: Task) -> dict[str, Any]:
    """Describe a task in JSON values."""
    values = dataclasses.asdict(cast(Any, task))
    return {"kind": task.kind, **{key: list(one) if isinstance(one, tuple) else one for key, one in values.items()}}


def from_dict(values: Mapping[str, Any]) -> Task:
    """Read what `to_dict` returned; raises DataError for an unknown kind.

    >>> from_dict({"kind": "classification", "classes": 3}).classes
    3
    """
    kind = values.get("kind")
    if kind not in TASKS:
        raise DataError(f"expected a task of {', '.join(TASKS)}, got {kind!r}; name one of them")
    options = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items() if key != "kind"}
    return TASKS[kind](**options)
