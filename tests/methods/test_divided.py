"""Which methods may be divided; `tests/workflow/test_one_large_model.py` shows that their weights are those of one."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from obliviate.errors import MethodError
from obliviate.methods import registry
from obliviate.methods.divided import DIVISIBLE, NOT_IN_PARTS, WHOLE, check_division
from obliviate.methods.fine_tune import FineTune
from obliviate.training.division import Division


def test_methods_of_the_package_are_divided_or_it_says_why_not() -> None:
    assert set(registry()) == DIVISIBLE | set(WHOLE)
    assert set(NOT_IN_PARTS) <= DIVISIBLE


@pytest.mark.parametrize("name", sorted(NOT_IN_PARTS))
def test_methods_that_need_single_weights_are_refused_where_these_are_in_parts(name: str) -> None:
    division, method = Division(processes=2, sharded=True), registry()[name]()
    with pytest.raises(MethodError, match=f"for parallel='fsdp' of amun, .*, got {name}, which {NOT_IN_PARTS[name]};"):
        check_division(method, division)
    check_division(method, Division(processes=2))


@dataclass(frozen=True, kw_only=True)
class Own(FineTune):
    """A method of another package, which says nothing."""

    name: ClassVar[str] = "own"


class Said(Own):
    divisible: ClassVar[bool] = True


def test_methods_of_other_packages_are_refused_unless_they_say_that_they_can() -> None:
    with pytest.raises(MethodError, match="got own, which does not say that it can; see `divisible` in docs/methods"):
        check_division(Own(), Division(pieces=2))
    check_division(Own(), Division())
    check_division(Said(), Division(pieces=2))
