from typing import Any, Literal

from obliviate.report.tables import NONE, utility
from obliviate.results.file import parse
from obliviate.results.model import ModelResult, UtilityFigure
from obliviate.results.values import Interval


def figure(
    name: str, part: Literal["retain", "unseen"], value: float, expected: float, *, lost: bool = False
) -> UtilityFigure:
    gap = value - expected
    return UtilityFigure(
        figure=name, part=part, unit="percent", value=value, expected=expected,
        difference=Interval(value=gap, low=gap, high=gap), margin=3.0, resolved=True, lost=lost,
    )  # fmt: skip


def test_of_recalls_the_one_that_fell_most_is_shown_with_the_name_of_its_class_and_a_lost_one_first(
    full: dict[str, Any],
):
    accuracy = figure("accuracy", "unseen", 91.0, 92.0)
    yes, no = (
        figure("recall of class yes", "unseen", 0.0, 80.0, lost=True),
        figure("recall of class no", "retain", 9, 99),
    )
    some: ModelResult = parse(full).models[0]
    ruined = some.model_copy(update={"name": "ruined", "utility": (accuracy, no, yes)})
    whole = some.model_copy(update={"name": "whole", "utility": (accuracy,)})
    table = utility([ruined, whole])
    assert table.heads == ["accuracy, unseen, %", "recall that fell most, %"]
    assert table.rows == [
        (ruined, [("91.0", "of 92.0"), ("0.0 ✕", "of 80.0: yes, unseen")]),
        (whole, [("91.0", "of 92.0"), NONE]),
    ]
