"""What methods are tried on."""

import dataclasses
from pathlib import Path

import pytest

from obliviate.errors import MethodError
from obliviate.testing import (
    Bench,
)
from sound_method import Sound


def test_what_came_of_a_method_is_computed_once(bench: Bench) -> None:
    assert bench.whole(Sound()) is bench.whole(Sound())
    assert bench.outcome(Sound()) is bench.outcome(Sound())
    assert bench.whole(Sound(epochs=1)).batches == bench.whole(Sound()).batches // 2


def test_a_private_copy_is_unlearned(bench: Bench) -> None:
    before = {name: value.clone() for name, value in bench.original.state_dict().items()}
    assert bench.forget(Sound()) is not bench.original
    assert all(value.equal(before[name]) for name, value in bench.original.state_dict().items())


def test_a_bench_without_a_recipe_has_no_teachers(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="expected a recipe to train teachers by, got none"):
        dataclasses.replace(bench, recipe=None).with_teachers(tmp_path)
