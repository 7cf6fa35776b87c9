"""Interruptions of a method."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from obliviate import testing
from obliviate.data.split import Split
from obliviate.testing import Bench, Check, ContractError, interruptions
from obliviate.training.run import Run
from sound_method import Sound


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


DEFECTS = [
    (interruptions.killed_and_resumed_is_bit_equal, Forgetful, "bit-equal weights after a kill at"),
    (interruptions.killed_and_resumed_is_bit_equal, Restless, "to go on where it was killed"),
    (interruptions.killed_and_resumed_is_bit_equal, Unkillable, "to let a kill at the first batch through"),
    (interruptions.killed_between_epochs_is_bit_equal, Forgetful, "bit-equal weights after kills between epochs"),
    (
        interruptions.a_finished_run_is_not_done_again,
        Restless,
        "to read a finished run back of sound, got 8 more batches",
    ),
]
CHECKS = [check for check in testing.CHECKS if check.__module__ == interruptions.__name__]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(CHECKS)
