import random

import numpy as np
import pytest
import torch

from obliviate._util import randomness
from obliviate._util.randomness import seed_generators, undisturbed


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


def test_generators_are_seeded_as_torch_does() -> None:
    with undisturbed():
        torch.manual_seed(3)
        expected = torch.rand(4)
        seed_generators(3)
        assert torch.rand(4).equal(expected)


def test_no_seed_is_kept_for_accelerators_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setattr(randomness, "has_accelerator", lambda: False)
    monkeypatch.setattr(torch, "manual_seed", kept.append)
    with undisturbed():
        seed_generators(3)
    assert kept == []


def test_accelerators_that_are_there_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[object] = []
    monkeypatch.setattr(randomness, "has_accelerator", lambda: True)
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    seed_generators(3)
    assert seeds == [3]
