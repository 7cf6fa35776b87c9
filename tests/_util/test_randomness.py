import random

import numpy as np
import pytest
import torch

from obliviate._util.randomness import undisturbed


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_what_is_drawn_inside_changes_nothing_outside() -> None:
    with undisturbed():
        inside = draw()
    assert draw() == inside


def test_states_are_given_back_after_an_error_too() -> None:
    with undisturbed():
        expected = draw()
    with pytest.raises(ZeroDivisionError), undisturbed():
        _ = sum(draw()) / 0
    assert draw() == expected
