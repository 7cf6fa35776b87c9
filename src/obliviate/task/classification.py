"""One class of several: images, rows of a table, texts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from obliviate.errors import DataError, MethodError, RecipeError
from obliviate.models.answers import binary_logits
from obliviate.task.base import Task
from obliviate.task.divergence import divergence
from obliviate.task.probabilities import SIGMOID, SOFTMAX, are_distributions, ends_in_probabilities, within_unit
from obliviate.task.space import InputSpace
from obliviate.types import Batch

T = TypeVar("T", bound="Classification")
Range = tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]]
"""The least and the greatest value of all inputs, or of each channel or column."""


@runtime_checkable
class TextModel(Protocol):
    """A model that takes token ids "n length" (integers below `vocabulary`) or embeddings "n length d" (floats).

    Padding is embedded as zeros, and whatever is all zeros is padding. Channels that are the same for all tokens, such
    as one that says where there are tokens, may be there, and are not perturbed.
    """

    vocabulary: int

    def embed(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length d"]:
        """Return the embeddings of tokens, before positions are added."""
        ...


@dataclass(frozen=True)
class Classification(Task):
    """Classification into `classes` classes, with cross-entropy; labels are integers in [0, classes).

    `input_range` is the valid range of input values, as the model receives them: one for all, one for each channel of
    images that were normalised so, or one for each column of a table; None forbids perturbing inputs. Of a table,
    `perturbable` are the columns that may be perturbed, which are the numeric ones; None is all. With `tokens` inputs
    are token ids, and methods perturb their embeddings: the model has a method `embed` that turns token ids into these
    (`TextModel`), and takes both; `input_range` is not used.
    `names` are what people call the classes, in order; they play no part in what the task is.

    >>> task = Classification(classes=2)
    >>> task.score(torch.tensor([[0.0, 3.0]]), torch.tensor([1]))
    tensor([3.])
    """

    kind: ClassVar[str] = "classification"
    right: ClassVar[str] = "the true class has the largest output"
    utility: ClassVar[str] = "classes"
    checks_inputs: ClassVar[bool] = False
    classes: int
    input_range: Range | None = (0.0, 1.0)
    perturbable: tuple[int, ...] | None = None
    tokens: bool = False
    names: tuple[str, ...] = field(default=(), compare=False, repr=False)
    class_weights: ClassVar[tuple[float, ...] | None] = None  # no field: the recipe says them, not the data

    def __post_init__(self) -> None:
        if self.names and len(self.names) != self.classes:
            raise DataError(
                f"expected a name for each of {self.classes} classes, got {len(self.names)}; name all of them, or none"
            )

    def class_name(self, label: int) -> str:
        """Return what people call a class: its number, where classes have no names.

        >>> Classification(classes=2, names=("no", "yes")).class_name(1), Classification(classes=2).class_name(1)
        ('yes', '1')
        """
        return self.names[label] if self.names else str(label)

    def read(self, output: object, *, of: str = "the model") -> Tensor:
        """Return the logits; one logit z a sample, where there are two classes, is [0, z]: z is that of class 1.

        >>> Classification(classes=2).read(torch.tensor([[3.0]]))
        tensor([[0., 3.]])
        """
        logits = super().read(output, of=of)
        return binary_logits(logits) if self._is_single(logits) else logits

    def _is_single(self, logits: Tensor) -> bool:
        """Whether a model of two classes has answered with one logit a sample."""
        return self.classes == 2 and (logits.ndim == 1 or (logits.ndim == 2 and logits.shape[1] == 1))

    def space(self, model: nn.Module) -> InputSpace | None:
        """Pixels, numeric columns or the embeddings of tokens; raises MethodError for a model without `embed`."""
        if self.tokens:
            return _embeddings(model)
        if self.input_range is None:
            return None
        low, high = (end if isinstance(end, float | int) else torch.tensor(end) for end in self.input_range)
        if self.perturbable is None:
            return InputSpace(low, high)
        width = len(low) if isinstance(low, Tensor) else max(self.perturbable, default=-1) + 1
        free = torch.zeros(width, dtype=torch.bool)
        free[list(self.perturbable)] = True
        return InputSpace(low, high, free)

    def per_sample(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return F.cross_entropy(output, y, reduction="none")

    def nll(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.per_sample(output, y)

    def correct(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        return output.argmax(1) == y

    def score(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return the margin φ = z_y − log Σ_{j≠y} exp z_j (Carlini et al. 2022, LiRA, eq. 5)."""
        true = output.gather(1, y[:, None])
        others = output.scatter(1, y[:, None], -torch.inf)
        return true[:, 0] - others.logsumexp(1)

    def observe(self, output: Float[Tensor, "n classes"], y: Int[Tensor, " n"]) -> Float[Tensor, "n classes"]:
        """Return the logits, from which the audit reads everything else."""
        return output

    def weighted(self: T, class_weights: Sequence[float]) -> T:
        if len(class_weights) != self.classes:
            raise RecipeError(
                f"expected one class weight a class, {self.classes}, got {len(class_weights)}; "
                "give the weights of all classes, in order"
            )
        task = copy.copy(self)
        object.__setattr__(task, "class_weights", tuple(class_weights))
        return task

    def weights(self, y: Int[Tensor, " n"]) -> Float[Tensor, " n"] | None:
        if self.class_weights is None:
            return None
        return torch.tensor(self.class_weights, dtype=torch.float32, device=y.device)[y]

    def divergence(
        self,
        student: Tensor,
        teacher: Tensor,
        y: Tensor,
        *,
        temperature: float = 1.0,
    ) -> Float[Tensor, ""]:
        return divergence(student, teacher, temperature=temperature)

    def check_targets(self, batch: Batch) -> tuple[int, str] | None:
        y = batch.y
        if y.dtype != torch.int64 or y.ndim != 1:
            return -1, f"expected one int64 label per sample, got {_odd_labels(y)}"
        wrong = ((y < 0) | (y >= self.classes)).nonzero()
        if len(wrong):
            place = int(wrong[0])
            from_one = int(y[place]) == self.classes and int(y.min()) == 1
            remedy = "labels seem to begin at 1: subtract 1 from all" if from_one else "correct the label"
            return place, (
                f"expected labels in 0 … {self.classes - 1}, got {int(y[place])}; "
                f"{remedy}, or correct the number of classes"
            )
        return None

    def check_output(self, output: Tensor, batch: Batch) -> str | None:
        wanted = (len(batch), self.classes)
        return None if tuple(output.shape) == wanted else f"expected an output of shape {wanted} (samples × classes)"

    def check_logits(self, output: Tensor, model: nn.Module, batch: Batch) -> tuple[str, str] | None:
        if are_distributions(output):
            return SOFTMAX
        # One logit may well lie in [0, 1]: only the operation that made it tells.
        single = self.classes == 2 and not bool(output[:, 0].any()) and within_unit(output)
        return SIGMOID if single and ends_in_probabilities(model, batch) else None


def _odd_labels(y: Tensor) -> str:
    """Say what labels are that are not one integer a sample, and the remedy."""
    got = f"{y.dtype} labels of shape {tuple(y.shape)}"
    whole = not y.is_floating_point() or bool((y == y.round()).all())
    if y.ndim == 1:
        return f"{got}; " + ("convert them with `.long()`" if whole else "take numbers of classes, or `Regression`")
    if y.ndim == 2 and y.shape[1] == 1:
        return f"{got}; take the second axis off with `.squeeze(1)`"
    if y.ndim == 2 and whole and bool((y.sum(1) == 1).all()) and bool(((y == 0) | (y == 1)).all()):
        return f"{got}; they are one-hot: take the numbers of the classes with `.argmax(1)`"
    if y.ndim == 2:
        return f"{got}; give one class a sample, or use `MultiLabel` for several labels a sample"
    return (
        f"{got}; a class for each position (segmentation) is not served: give one class a sample, or a task of your "
        "own (docs/tasks.md)"
    )


def _embeddings(model: nn.Module) -> InputSpace:
    """The space of a model's token embeddings as they are now, in the range that those of its vocabulary span."""
    if not isinstance(model, TextModel):
        raise MethodError(
            f"expected a text model with `embed` and `vocabulary`, got {type(model).__name__} without; "
            "wrap the model like `obliviate.models.text_transformer`, or use a method that needs only a loss"
        )
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    device = next(model.parameters()).device
    table = frozen.embed(torch.arange(model.vocabulary, device=device)[:, None]).float()

    def lift(tokens: Tensor) -> Tensor:
        with torch.no_grad():
            return frozen.embed(tokens.to(device)).float().to(tokens.device)

    tokens = table[table.any(2)]
    free = (tokens != tokens[0]).any(0)
    if not bool(free.any()):
        raise MethodError(
            f"expected embeddings that differ from token to token, got the same for all of {type(model).__name__}; "
            "check the model"
        )
    values = table[:, 0, free]
    return InputSpace(float(values.min()), float(values.max()), free, lift, token=table.shape[2])
