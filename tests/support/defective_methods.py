"""Methods that each break the contract in one way, and the check that finds it."""

from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.testing import Check, engine, interruptions, presentation, samples, weights
from obliviate.training.run import Run
from obliviate.types import Batch
from sound_method import Sound

# ------------------------------------------------------------------------------------------- weights


class Random(Sound):
    """Draws outside the run's epochs."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.01 * torch.randn_like(weight))
        return super().__call__(model, split, run)


class Entropic(Sound):
    """Takes its randomness from the operating system."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return Sound(learning_rate=0.01 + 0.01 * SystemRandom().random())(model, split, run)


class Seedless(Sound):
    """Takes the batches in an order of its own."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = self.optimizer(model, run)
        for _ in run.epochs("seedless", self.epochs, model=model, optimizer=optimizer):
            run.fit(model, [split.kept.everything()], run.task.loss, optimizer)
        return model


class LastBiasOnly(Sound):
    """Changes no more than the last bias."""

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(model.parameters())[-1:], lr=self.learning_rate)


class Destructive(Sound):
    """Sets every weight to a half."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(0.5)
        return model


class Bounded(Sound):
    """Goes up the loss of the samples to forget as far as a bound, and says that its batches can be divided."""

    divisible: ClassVar[bool] = True

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        def loss(model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
            reached = self.of_batch(run.task.loss(model, forget), forget, run)
            return 4 * (1.5 - reached).relu() ** 2 + run.task.loss(model, retain)

        optimizer = self.optimizer(model, run)
        for epoch in run.epochs("bounded", self.epochs, model=model, optimizer=optimizer):
            run.fit(model, run.paired(split.forget, split.kept, 9, epoch), loss, optimizer)
        return model

    def of_batch(self, mean: Tensor, forget: Batch, run: Run) -> Tensor:
        return mean


class Divisible(Bounded):
    """The same, of which it is true."""

    def of_batch(self, mean: Tensor, forget: Batch, run: Run) -> Tensor:
        (whole,) = run.batch_means((mean, forget))
        return whole


# ------------------------------------------------------------------------------------------- interruptions


class Forgetful(Sound):
    """Does not name the optimiser's state."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = self.optimizer(model, run)
        for epoch in run.epochs("forgetful", 3, model=model):
            run.fit(model, run.batches(split.kept, 64, epoch), run.task.loss, optimizer)
        return model


class Restless(Sound):
    """Knows no epochs that are done."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = self.optimizer(model, run)
        for epoch in range(2):
            run.fit(model, run.batches(split.kept, 64, epoch), run.task.loss, optimizer)
        return model


class Unkillable(Sound):
    """Swallows every exception."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        try:
            return super().__call__(model, split, run)
        except Exception:  # noqa: BLE001 - the defect that is looked for
            return model


# ------------------------------------------------------------------------------------------- samples


class Half(Sound):
    """Reads half of the retain set."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return super().__call__(model, Split(split.forget, split.kept.select(split.kept.ids[::2])), run)


class Peeping(Sound):
    """Reads the retain set though it says that it does without."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return super().__call__(model, Split(split.forget, split.retain or split.holdout), run)


class Inexact(Sound):
    """Reads the forget set though it says that it is exact."""

    exact: ClassVar[bool] = True

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        split.forget.everything()
        return super().__call__(model, split, run)


class InMemory(Sound):
    """Treats a set that is in memory otherwise."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        in_memory = type(split.kept.store).__name__ == "TensorStore"
        return Sound(learning_rate=0.01 if in_memory else 0.02)(model, split, run)


class Idle(Sound):
    """Does nothing without a recipe."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return model if run.recipe is None else super().__call__(model, split, run)


class Hoarding(Sound):
    """Trains on whatever it was once given to forget."""

    hoard: ClassVar[list[Samples]] = []

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        self.hoard.append(split.forget)
        for forgotten in self.hoard[-2:]:
            forgotten.everything()
        return super().__call__(model, split, run)


class Labelled(Sound):
    """Trains on labels though it says that it does without."""

    needs: ClassVar[frozenset[str]] = frozenset({"retain"})


# ------------------------------------------------------------------------------------------- the engine


class Moving(Sound):
    """Moves samples itself."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return super().__call__(model, Split(split.forget, split.kept.to(run.device)), run)


class Stepping(Sound):
    """Has a function take its steps."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        descended(model, run.task.loss(model, split.kept.everything()))
        return super().__call__(model, split, run)


class HeadOnly(Sound):
    """Leaves all layers but the last as they are."""

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(model.parameters())[-2:], lr=self.learning_rate)


def descended(model: nn.Module, loss: torch.Tensor) -> None:
    """Take a step of SGD at a rate of 0.01."""
    loss.backward()
    for weight in model.parameters():
        weight.data -= 0.01 * weight.grad if weight.grad is not None else 0.0


# ------------------------------------------------------------------------------------------- presentation


@dataclass(frozen=True)
class Positional(Sound):
    """Has a positional field."""

    beta: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Wordless(Sound):
    """Says nothing to the point"""


@dataclass(frozen=True, kw_only=True)
class Obscure(Sound):
    """Has a default that cannot be shown."""

    layers: tuple[str, ...] = field(default_factory=tuple)


class Lenient(Sound):
    """Takes any value."""

    def __post_init__(self) -> None:
        pass


DEFECTS: Final[list[tuple[Check, type[Any], str]]] = [
    (weights.divides_its_batches_if_it_says_so, Bounded, "pieces of batches to give the weights of whole ones"),
    (weights.same_seed_gives_the_same_weights, Random, "to leave torch's global random state"),
    (weights.same_seed_gives_the_same_weights, Entropic, "the same weights from the same seed"),
    (weights.same_seed_gives_the_same_weights, Seedless, "other weights from another seed"),
    (weights.changes_the_weights_of_its_copy_alone, LastBiasOnly, "to change the weights of sound, got the same "),
    (weights.does_not_collapse_under_its_defaults, Destructive, "test accuracy above"),
    (interruptions.killed_and_resumed_is_bit_equal, Forgetful, "bit-equal weights after a kill at"),
    (interruptions.killed_and_resumed_is_bit_equal, Restless, "to go on where it was killed"),
    (interruptions.killed_and_resumed_is_bit_equal, Unkillable, "to let a kill at the first batch through"),
    (interruptions.killed_between_epochs_is_bit_equal, Forgetful, "bit-equal weights after kills between epochs"),
    (
        interruptions.a_finished_run_is_not_done_again,
        Restless,
        "to read a finished run back of sound, got 8 more batches",
    ),
    (samples.reads_only_what_it_may_see, Half, "to read the whole retain set"),
    (samples.reads_only_what_it_may_see, Peeping, "to read the forget set and nothing else"),
    (samples.reads_only_what_it_may_see, Inexact, "an exact method not to read the forget set"),
    (samples.works_on_a_dataset_that_is_not_held_in_memory, InMemory, "read sample by sample"),
    (samples.works_with_no_more_than_it_needs, Idle, "to change the model with no more than it needs"),
    (samples.never_reads_what_an_earlier_request_forgot, Hoarding, "request 2 to read nothing of earlier ones"),
    (samples.uses_no_label_unless_it_needs_labels, Labelled, "to use no label, as"),
    (engine.leaves_the_engine_to_the_run, Moving, r"of sound, got split\.kept\.to in line \d+;"),
    (engine.leaves_the_engine_to_the_run, Stepping, r"of sound, got loss\.backward in line \d+;"),
    (engine.leaves_the_engine_to_the_run, HeadOnly, r"of sound, got torch\.optim\.SGD in line \d+;"),
    (presentation.is_a_frozen_dataclass_with_keyword_only_fields, Positional, "beta to be keyword-only"),
    (presentation.describes_itself, Wordless, "a docstring that begins with a sentence"),
    (presentation.describes_itself, Obscure, r"a plain default for every field of sound, got none for \['layers'\]"),
    (presentation.refuses_hyperparameters_out_of_range, Lenient, "to refuse (epochs|learning_rate)=0"),
]
"""Checks, a method that each must find fault with, and what it says of it."""
