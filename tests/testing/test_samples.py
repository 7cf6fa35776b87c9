"""What a method reads."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from torch import nn

from obliviate import testing
from obliviate.data.samples import Samples
from obliviate.data.split import Split
from obliviate.testing import Bench, Check, ContractError, samples
from obliviate.training.run import Run
from sound_method import Sound


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


DEFECTS = [
    (samples.reads_only_what_it_may_see, Half, "to read the whole retain set"),
    (samples.reads_only_what_it_may_see, Peeping, "to read the forget set and nothing else"),
    (samples.reads_only_what_it_may_see, Inexact, "an exact method not to read the forget set"),
    (samples.works_on_a_dataset_that_is_not_held_in_memory, InMemory, "read sample by sample"),
    (samples.works_with_no_more_than_it_needs, Idle, "to change the model with no more than it needs"),
    (samples.never_reads_what_an_earlier_request_forgot, Hoarding, "request 2 to read nothing of earlier ones"),
    (samples.uses_no_label_unless_it_needs_labels, Labelled, "to use no label, as"),
]
CHECKS = [check for check in testing.CHECKS if check.__module__ == samples.__name__]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(CHECKS)
