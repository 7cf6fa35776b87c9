"""How many samples a rule chooses."""

import re

import pytest

from obliviate.data.amounts import count_of, read_amount
from obliviate.errors import DataError


def test_an_amount_is_a_share_or_a_number():
    assert [count_of(amount, 40, rule="memorised") for amount in (0.1, 0.001, 1, 39)] == [4, 1, 1, 39]
    assert [read_amount(amount, rule="memorised") for amount in ("0.1", "1e-2", "12", " 3")] == [0.1, 0.01, 12, 3]
    for amount in (40, 0, -3, 0.0, 1.0, 2.5, float("nan"), True):
        with pytest.raises(DataError, match=r"^expected memorised with a .*, got .*; "):
            count_of(amount, 40, rule="memorised")
    for text in ("0", "-2", "1.0", "nan", "1.5", "", "half"):
        with pytest.raises(DataError, match=re.compile(r"^expected memorised.*, got .*; try memorised:0.1$")):
            read_amount(text, rule="memorised")
