"""What a function of the user's own is known again by."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from obliviate.errors import RecipeError
from obliviate.training.code import called, code_sha256, importable, name_of, where


def scaled(x: Tensor, *, by: float = 2.0) -> Tensor:
    return by * x


class Shift:
    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.by


def test_the_same_code_has_the_same_hash_and_other_code_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert code_sha256(scaled) == code_sha256(scaled)
    assert code_sha256(Shift(1.0)) == code_sha256(Shift(1.0)) != code_sha256(Shift(2.0))
    assert code_sha256(functools.partial(scaled, by=1.0)) != code_sha256(functools.partial(scaled, by=3.0))


def test_what_a_function_closes_over_is_part_of_it():
    def scaling(by: float) -> Callable[[Tensor], Tensor]:
        return lambda x: by * x

    assert code_sha256(scaling(1.0)) == code_sha256(scaling(1.0)) != code_sha256(scaling(2.0))


def test_functions_without_a_source_are_told_apart_by_what_they_are_compiled_to():
    names: dict[str, Callable[[int], int]] = {}
    exec("def add(x): return x + 1\ndef same(x): return x + 1\ndef other(x): return x + 2", names)
    assert code_sha256(names["add"]) == code_sha256(names["same"]) != code_sha256(names["other"])


def test_an_object_whose_state_cannot_be_written_down_is_refused():
    unpicklable = Shift(lambda: 1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(RecipeError, match=r"^expected a function, or an object that can be pickled, got .*:Shift "):
        code_sha256(unpicklable)


def test_only_what_a_module_holds_can_be_imported_elsewhere():
    assert importable(nn.Linear)
    assert importable("my_code:train")
    assert not importable(lambda x: x)
    assert not importable("__main__:train")


@pytest.mark.parametrize("path", ["nowhere:train", "torch:nothing", "torch.nn:Linear"])
def test_names_of_nothing_to_call_are_refused(path: str):
    with pytest.raises(RecipeError, match=r"^expected .*training function.*, got .*; "):
        called(path, what="training function")


def test_an_error_is_told_with_its_place():
    with pytest.raises(TypeError) as caught:
        scaled(torch.ones(1), by=None)  # pyright: ignore[reportArgumentType]
    assert where(caught.value).startswith("TypeError: ")
    assert where(caught.value).endswith("in scaled)")
    assert name_of(scaled).endswith(":scaled")
