"""The contract that obliviate ships, and what is particular to this attack."""

import numpy as np
import pytest
from obliviate_calibrated import CalibratedLoss

from obliviate.membership import registry
from obliviate.membership.checks import CHECKS, Check, Simulation


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_keeps_the_contract(check: Check) -> None:
    check(CalibratedLoss())


def test_is_found_through_its_entry_point() -> None:
    assert registry()["calibrated_loss"] is CalibratedLoss


def test_without_calibration_it_is_the_loss_itself() -> None:
    attack, target = Simulation().target(CalibratedLoss(share=0.0), remembers=True)
    np.testing.assert_array_equal(attack(target), -attack.signals[0](target.outputs))
