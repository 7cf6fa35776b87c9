"""Values of results.json hold numbers, do not change, and have no unknown fields."""

import pytest
from pydantic import ValidationError

from obliviate.results.values import Interval


def test_half_of_an_interval_is_half_of_its_width() -> None:
    assert Interval(value=2.0, low=1.0, high=4.0).half == 1.5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Interval(value=value, low=0.0, high=1.0)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Interval.model_validate({"value": 1.0, "low": 0.0, "high": 2.0, "level": 0.9})
