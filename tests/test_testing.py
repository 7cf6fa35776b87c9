"""Every check of the contract is passed by a sound method and fails a method with the defect that it looks for."""

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from obliviate import testing
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.data.split import Split
from obliviate.methods.base import check_positive
from obliviate.task import Classification
from obliviate.testing import Bench, ContractError
from obliviate.training.optimizers import SGD
from obliviate.training.recipe import Recipe
from obliviate.training.run import Run


@pytest.fixture(scope="module")
def bench(original: nn.Module, task: Classification, recipe: Recipe, few: Samples, data: Data) -> Bench:
    split = Split.of(few, forget=few.ids[7:600:10], holdout=data.holdout)
    return Bench(original, task, recipe, few, split, data.test)


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Fine-tune on the retain set."""

    name: ClassVar[str] = "sound"
    needs: ClassVar[frozenset[str]] = frozenset({"retain", "labels"})
    exact: ClassVar[bool] = False
    source: ClassVar[str] = "none"

    epochs: int = 2
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate")

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return run.optimizer(model, SGD(learning_rate=self.learning_rate))

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        optimizer = self.optimizer(model, run)
        for epoch in run.epochs("sound", self.epochs, model=model, optimizer=optimizer):
            run.fit(model, run.batches(split.kept, 64, epoch), run.task.loss, optimizer)
        return model


class Random(Sound):
    """Draws outside the run's epochs."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for one in model.parameters():
                one.add_(0.01 * torch.randn_like(one))
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


class HeadOnly(Sound):
    """Leaves all layers but the last as they are."""

    def optimizer(self, model: nn.Module, run: Run) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(model.parameters())[-2:], lr=self.learning_rate)


class Destructive(Sound):
    """Sets every weight to a half."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        with torch.no_grad():
            for one in model.parameters():
                one.fill_(0.5)
        return model


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
        for one in self.hoard[-2:]:
            one.everything()
        return super().__call__(model, split, run)


class Labelled(Sound):
    """Trains on labels though it says that it does without."""

    needs: ClassVar[frozenset[str]] = frozenset({"retain"})


class Moving(Sound):
    """Moves samples itself."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        return super().__call__(model, Split(split.forget, split.kept.to(run.device)), run)


class Stepping(Sound):
    """Has a function take its steps."""

    def __call__(self, model: nn.Module, split: Split, run: Run) -> nn.Module:
        descended(model, run.task.loss(model, split.kept.everything()))
        return super().__call__(model, split, run)


def descended(model: nn.Module, loss: torch.Tensor) -> None:
    """Take a step of SGD at a rate of 0.01."""
    loss.backward()
    for weight in model.parameters():
        weight.data -= 0.01 * weight.grad if weight.grad is not None else 0.0


@dataclass(frozen=True)
class Positional(Sound):
    """Has a positional field."""

    beta: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Obscure(Sound):
    """Has a default that cannot be shown."""

    layers: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class Wordless(Sound):
    """Says nothing to the point"""


class Lenient(Sound):
    """Takes any value."""

    def __post_init__(self) -> None:
        pass


DEFECTS = [
    (testing.same_seed_gives_the_same_weights, Random, "to leave torch's global random state"),
    (testing.same_seed_gives_the_same_weights, Entropic, "the same weights from the same seed"),
    (testing.same_seed_gives_the_same_weights, Seedless, "other weights from another seed"),
    (testing.changes_the_weights_of_its_copy_alone, HeadOnly, "to change the weights of sound, got the same conv1"),
    (testing.does_not_collapse_under_its_defaults, Destructive, "test accuracy above"),
    (testing.killed_and_resumed_is_bit_equal, Forgetful, "bit-equal weights after a kill at"),
    (testing.killed_and_resumed_is_bit_equal, Restless, "to go on where it was killed"),
    (testing.killed_and_resumed_is_bit_equal, Unkillable, "to let a kill at the first batch through"),
    (testing.killed_between_epochs_is_bit_equal, Forgetful, "bit-equal weights after kills between epochs"),
    (testing.a_finished_run_is_not_done_again, Restless, "to read a finished run back of sound, got 18 more batches"),
    (testing.reads_only_what_it_may_see, Half, "to read the whole retain set"),
    (testing.reads_only_what_it_may_see, Peeping, "to read the forget set and nothing else"),
    (testing.reads_only_what_it_may_see, Inexact, "an exact method not to read the forget set"),
    (testing.works_on_a_dataset_that_is_not_held_in_memory, InMemory, "read sample by sample"),
    (testing.works_with_no_more_than_it_needs, Idle, "to change the model with no more than it needs"),
    (testing.never_reads_what_an_earlier_request_forgot, Hoarding, "request 2 to read nothing of earlier ones"),
    (testing.uses_no_label_unless_it_needs_labels, Labelled, "to use no label, as"),
    (testing.leaves_the_engine_to_the_run, Moving, r"of sound, got split\.kept\.to in line \d+;"),
    (testing.leaves_the_engine_to_the_run, Stepping, r"of sound, got loss\.backward in line \d+;"),
    (testing.leaves_the_engine_to_the_run, HeadOnly, r"of sound, got torch\.optim\.SGD in line \d+;"),
    (testing.is_a_frozen_dataclass_with_keyword_only_fields, Positional, "beta to be keyword-only"),
    (testing.describes_itself, Wordless, "a docstring that begins with a sentence"),
    (testing.describes_itself, Obscure, r"a plain default for every field of sound, got none for \['layers'\]"),
    (testing.refuses_hyperparameters_out_of_range, Lenient, "to refuse (epochs|learning_rate)=0"),
]


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda one: one.__name__)
def test_a_sound_method_passes(check: testing.Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_defect_is_found(check: testing.Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(testing.CHECKS)


def test_check_method_runs_every_check(bench: Bench) -> None:
    testing.check_method(Sound, bench)
    testing.check_method(Sound(), bench)
    with pytest.raises(ContractError, match="to refuse"):
        testing.check_method(Lenient, bench)


@pytest.mark.parametrize(
    ("imported", "call"),
    [
        ("import torch", "torch.optim.Adam"),
        ("import torch.optim as o", "o.Adam"),
        ("from torch import optim", "optim.Adam"),
        ("from torch.optim import Adam as A", "A"),
        ("", "model.cuda"),
    ],
)
def test_the_engine_is_found_by_any_name_and_in_what_the_class_uses(
    imported: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{imported}\nclass Used:\n  def call(self, model): return inner(model)\n"
    source += f"def inner(model): return {call}(model)\n"
    (tmp_path / "of_engine.py").write_text(source + f"class Other: pass\ndef idle(model): return {call}(model)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_engine", raising=False)
    module = importlib.import_module("of_engine")
    assert testing.engine_calls(module.Used) == [f"{call} in line 4"]
    assert testing.engine_calls(module.Other) == []
    monkeypatch.delitem(sys.modules, "of_engine")


def test_a_class_without_a_source_is_refused() -> None:
    typed = type("Typed", (), {"__module__": "builtins"})
    with pytest.raises(ContractError, match="expected the source of Typed, got none; define it in a module"):
        testing.engine_calls(typed)
