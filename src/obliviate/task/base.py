"""The contract of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from obliviate._util.modes import evaluating
from obliviate._util.randomness import undisturbed
from obliviate.data.samples import Samples
from obliviate.data.stores import CHUNK
from obliviate.errors import DataError, MethodError, RecipeError
from obliviate.models.answers import ask, number_format, suited, tensor_of
from obliviate.task.space import InputSpace
from obliviate.types import Batch

EVIDENCE: Final = ("nll", "score", "correct")
"""What audits keep of each sample where there are no logits of classes."""

T = TypeVar("T", bound="Task")

LEAST_NLL: Final = 1e-12  # a prediction that is exact to the last bit has finite odds all the same

CHECKED: Final = 32  # samples that a model is tried on
LARGEST: Final = 2**22  # numbers in their inputs or outputs, where samples are large
CHANNELS: Final = (1, 3, 4)  # that images usually have
ROUNDING: Final = 100  # units in the last place of the largest output: parallel sums differ by some


class Task(ABC):
    """A learning task: it turns (model, batch) into per-sample losses, and outputs into correctness and scores.

    A task of your own says at least what the loss of each sample is and what is right. `right` tells the latter in a
    few words.

    >>> class Ordinal(Task):
    ...     kind = "ordinal"  # ranks, of which to be one off is half right
    ...
    ...     def per_sample(self, output: Tensor, y: Tensor) -> Tensor:
    ...         return (output[:, 0] - y) ** 2
    ...
    ...     def correct(self, output: Tensor, y: Tensor) -> Tensor:
    ...         return (1 - (output[:, 0].round() - y).abs() / 2).clamp(0, 1)
    >>> Ordinal().correct(torch.tensor([[2.1], [4.0]]), torch.tensor([2, 3]))
    tensor([1.0000, 0.5000])
    """

    kind: ClassVar[str]
    right: ClassVar[str] = "what the task calls right"
    utility: ClassVar[str] = "shares"
    """The name of its utility figures, those of `metrics.utility.FIGURES`."""

    checks_inputs: ClassVar[bool] = True
    """Whether `check_targets` looks at inputs too."""

    @abstractmethod
    def per_sample(self, output: Tensor, y: Tensor) -> Float[Tensor, " n"]:
        """Return the loss of each sample, with gradients."""

    @abstractmethod
    def correct(self, output: Tensor, y: Tensor) -> Shaped[Tensor, " n"]:
        """Return the share of each sample that the model predicts right, in [0, 1], or whether it does."""

    def nll(self, output: Tensor, y: Tensor) -> Float[Tensor, " n"]:
        """Return −log of the likelihood of each sample's target, up to a constant, 0 or more; the loss, unless told."""
        return self.per_sample(output, y)

    def divergence(self, student: Tensor, teacher: Tensor, y: Tensor, *, temperature: float = 1.0) -> Float[Tensor, ""]:
        """Return how far a student's outputs are from a teacher's: KL(teacher ‖ student), the mean over samples.

        The temperature softens both; the factor T² keeps the size of gradients. `y` says which positions count, if
        not all do. Raises MethodError for a task that does not say.
        """
        raise MethodError(
            f"expected a task that says how far outputs are from a teacher's, got {self.kind} without `divergence`; "
            "define it, or use a method that does not distil"
        )

    def read(self, output: object, *, of: str = "the model") -> Tensor:
        """Return what a model answered as the tensor that the task reads; `of` names the model in a message.

        Raises RecipeError for an answer that holds none (`models.answers.tensor_of`).
        """
        return tensor_of(output, of=of)

    def ask(self, model: nn.Module, x: Shaped[Tensor, "n ..."]) -> Tensor:
        """Ask a model, as it stands and where it is, for what the task reads."""
        return self.read(ask(model, x), of=type(model).__name__)

    def check_targets(self, batch: Batch) -> tuple[int, str] | None:
        """Find what is wrong with a batch of samples: the place of one in it, and "expected …, got …"; None if nothing.

        A problem of all samples alike has place −1.
        """
        return None

    def check_output(self, output: Tensor, batch: Batch) -> str | None:
        """Find what is wrong with the shape of a model's output: "expected …"; None if nothing."""
        return None

    def check_logits(self, output: Tensor, model: nn.Module, batch: Batch) -> tuple[str, str] | None:
        """Find what outputs are if they are no logits, and the remedy; None where they may be, or no logits are asked.

        `output` is what the model answered to the batch, in evaluation mode.
        """
        return None

    def space(self, model: nn.Module) -> InputSpace | None:
        """Return the continuous input space that a method may perturb; None where there is none."""
        return None

    def score(self, output: Tensor, y: Tensor) -> Float[Tensor, " n"]:
        """Return the score that members and non-members differ in, higher for members: log p − log(1 − p), p = e^−nll.

        Carlini et al. 2022 (LiRA), section V.B, with the likelihood of the whole target for that of a class.
        """
        nll = self.nll(output, y).double().clamp_min(LEAST_NLL)
        return (-nll - torch.log(-torch.expm1(-nll))).float()

    def null_loss(self, y: Tensor) -> Float[Tensor, " n"] | None:
        """Return `nll` of each target under the best constant prediction, in units of which R² is; None without one."""
        return None

    def observe(self, output: Tensor, y: Tensor) -> Float[Tensor, "n k"]:
        """Return what an audit keeps of each sample: the columns of `EVIDENCE`, or logits of classes."""
        columns = self.nll(output, y), self.score(output, y), self.correct(output, y).float()
        return torch.stack(columns, dim=1)

    def signals(self, output: Tensor, y: Tensor) -> Float[Tensor, "n k"]:
        """Return what the figures named by `utility` are computed from; what an audit keeps, unless told."""
        return self.observe(output, y)

    def weighted(self: T, class_weights: Sequence[float]) -> T:
        """Return this task with a weight for every class in the loss that is trained on (`Recipe.class_weights`).

        Only `losses` and `loss` change; what audits and utility read does not. Raises RecipeError for a task without
        classes, or for other than one weight a class.
        """
        raise RecipeError(
            f"expected a classification task for class weights, got {self.kind}; leave `class_weights` out"
        )

    def weights(self, y: Tensor) -> Float[Tensor, " n"] | None:
        """Return the weight of each sample in the loss that is trained on; None where all weigh the same."""
        return None

    def losses(self, model: nn.Module, batch: Batch) -> Float[Tensor, " n"]:
        """Return one loss per sample, in float32, with gradients; their mean is `loss`.

        Where samples have weights it is w ℓ / w̄, w̄ the mean weight of the batch, so that the mean is Σ w ℓ / Σ w.
        """
        losses = self.per_sample(self.ask(model, batch.x).float(), batch.y)
        weights = self.weights(batch.y)
        return losses if weights is None else losses * (weights / weights.mean())

    def loss(self, model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""
        return self.losses(model, batch).mean()

    def check_samples(self, samples: Samples, *, what: str) -> None:
        """Refuse samples that are not of this task; raises DataError."""
        for places in torch.arange(len(samples)).split(CHUNK):
            if self.checks_inputs:
                batch = samples.take(places)
            else:  # so that inputs which are read on demand are not read for their targets
                y = samples.targets[places]
                batch = Batch(torch.empty(len(y), 0), y, samples.ids[places.numpy()])
            if (wrong := self.check_targets(batch)) is not None:
                place, problem = wrong
                where = "" if place < 0 else f" in sample {str(samples.ids[int(places[place])])!r}"
                expected, _, remedy = problem.partition("; ")
                raise DataError(f"{expected}{where} of the {what}; {remedy}")

    def check_model(self, model: nn.Module, samples: Samples) -> None:
        """Refuse a model or a loss that does not fit the task; raises RecipeError.

        In evaluation mode, a model answers with what the task reads (logits, not probabilities), gives the same answer
        twice, and stays as it is. Its modes and all random states are left as they were.
        """
        if any(map(is_lazy, model.parameters())):
            raise RecipeError(
                f"expected a model whose layers have a shape, got {type(model).__name__} with lazy ones; call it once "
                "on a batch where it is built, or say how wide they are"
            )
        batch = samples.take(torch.arange(min(2, len(samples))))
        with undisturbed(), torch.no_grad(), evaluating(model):
            before = _state(model)
            output = self._answer(model, batch)
            losses = self.per_sample(output.float(), _beside(model, batch).y)
            if tuple(losses.shape) != (len(batch),):
                raise RecipeError(
                    f"expected one loss a sample, ({len(batch)},), got {tuple(losses.shape)} from "
                    f"{type(self).__name__}; leave out the mean: losses are needed sample by sample"
                )
            widest = max(output.numel(), batch.x.numel()) // len(batch)
            batch = samples.take(torch.arange(min(len(samples), CHECKED, max(2, LARGEST // max(widest, 1)))))
            output = self._answer(model, batch)
            _refuse_changed(model, before)
            _refuse_random(output, self._answer(model, batch), type(model).__name__)
            if (problem := self.check_logits(output, model, _beside(model, batch))) is not None:
                got, remedy = problem
                raise RecipeError(f"expected logits, got {got} from {type(model).__name__}; {remedy}")

    def _answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """Ask a model, and refuse answers that are not of the task's shape."""
        name, shape = type(model).__name__, tuple(batch.x.shape)
        try:
            output = self.ask(model, batch.x)
        except RecipeError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            hint = _hint(model, batch)
            raise RecipeError(
                f"expected a model that takes inputs of shape {shape}, got an error from {name} ({error}); check {hint}"
            ) from error
        if (wanted := self.check_output(output, batch)) is not None:
            raise RecipeError(f"{wanted}, got {tuple(output.shape)} from {name}; change the last layer or the task")
        return output


def _beside(model: nn.Module, batch: Batch) -> Batch:
    """The batch, on the device where the model is, its inputs in the model's number format."""
    x = suited(batch.x, model)
    return Batch(x, batch.y.to(x.device), batch.ids)


def _hint(model: nn.Module, batch: Batch) -> str:
    """What to look at where a model fails on inputs."""
    form, shape = number_format(model), batch.x.shape
    if not batch.x.is_floating_point():
        return "its `length` and its `vocabulary`"
    if form not in {None, torch.float32}:
        return f"whether it can compute in {form}, the type of its weights, on this device; `model.float()` can"
    if len(shape) != 4:
        return "what it was built for"
    if shape[3] in CHANNELS and shape[1] not in CHANNELS:
        return "the order of the axes: these images seem to have their channels last, `x.permute(0, 3, 1, 2)`"
    return "the number of channels and the image size"


def _state(model: nn.Module) -> dict[str, Tensor | int]:
    """The saved buffers of a model, and of its parameters how often they were written to, which costs no copy."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {
        name: value._version if name in parameters and not value.is_inference() else value.clone()
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def _refuse_changed(model: nn.Module, before: dict[str, Tensor | int]) -> None:
    """Refuse a model that an evaluation has changed, and give it its buffers back; raises RecipeError."""
    after = _state(model)
    if changed := [name for name, value in before.items() if not _equal(value, after[name])]:
        state = model.state_dict()
        for name in changed:
            if isinstance(value := before[name], Tensor) and value.shape == state[name].shape:
                state[name].copy_(value)
        raise RecipeError(
            f"expected a model that evaluation leaves as it is, got another {changed[0]} in {type(model).__name__} "
            "after it; change the model's state in training mode only (`if self.training:`)"
        )


def _equal(before: Tensor | int, after: Tensor | int) -> bool:
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return torch.equal(before, after)
    return not isinstance(before, Tensor) and not isinstance(after, Tensor) and before == after


def _refuse_random(first: Tensor, second: Tensor, name: str) -> None:
    """Refuse answers to one question that differ by more than the order of sums can tell; raises RecipeError."""
    if torch.equal(first, second):
        return
    largest = float(first.abs().max())
    difference = float((first - second).abs().max())
    if difference > ROUNDING * torch.finfo(first.dtype).eps * largest:
        raise RecipeError(
            f"expected the same output twice in evaluation mode, got outputs that differ by {difference:.2g} from "
            f"{name}; switch randomness off there: pass training=self.training to F.dropout, or use nn.Dropout"
        )
