"""Figures and verdicts in words."""

from typing import get_args

import pytest

from obliviate.report import wording
from obliviate.results.values import Verdict


def test_every_verdict_is_explained() -> None:
    assert set(wording.VERDICTS) == set(get_args(Verdict))


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "–"), ([None], "–"), ([1.25], "1.2"), ([2.0, None, 1.0], "1.0–2.0"), ([1.0, 1.04], "1.0")],
)
def test_an_extent_is_the_least_and_the_greatest_of_what_is_known(values: list[float | None], text: str) -> None:
    assert wording.extent(values) == text


def test_what_methods_reported_is_in_words_with_its_unit() -> None:
    notes = wording.notes({"adversarial_found": 0.998, "own_figure": -0.25, "kind": "fast", "left": None})
    assert notes["forget samples for which an adversarial example was found"] == "99.8 %"
    assert notes["own figure"] == "−0.25"
    assert notes["kind"] == "fast"
