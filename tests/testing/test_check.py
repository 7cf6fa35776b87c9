"""How a check says that a method breaks the contract."""

import pytest

from obliviate.testing import ContractError
from obliviate.testing.check import expect
from sound_method import Sound


def test_what_breaks_the_contract_is_said_with_the_name_of_the_method() -> None:
    expect(True, Sound(), "nothing", "nothing")
    with pytest.raises(ContractError, match=r"^expected 3 epochs of sound, got 2; see docs/methods/README.md$"):
        expect(False, Sound(), "3 epochs", "2")


def test_it_is_a_failed_assertion_to_test_frameworks() -> None:
    assert issubclass(ContractError, AssertionError)
