"""How a method presents itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from obliviate import testing
from obliviate.testing import Bench, Check, ContractError, presentation
from sound_method import Sound


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


DEFECTS = [
    (presentation.is_a_frozen_dataclass_with_keyword_only_fields, Positional, "beta to be keyword-only"),
    (presentation.describes_itself, Wordless, "a docstring that begins with a sentence"),
    (presentation.describes_itself, Obscure, r"a plain default for every field of sound, got none for \['layers'\]"),
    (presentation.refuses_hyperparameters_out_of_range, Lenient, "to refuse (epochs|learning_rate)=0"),
]
CHECKS = [check for check in testing.CHECKS if check.__module__ == presentation.__name__]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_method_passes(check: Check, bench: Bench, tmp_path: Path) -> None:
    check(Sound(), bench, tmp_path)


@pytest.mark.parametrize(("check", "cls", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_found(check: Check, cls: type[Any], message: str, bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected .*{message}"):
        check(cls(), bench, tmp_path)


def test_every_check_is_known_to_fail_on_something() -> None:
    assert {check for check, _, _ in DEFECTS} == set(CHECKS)
