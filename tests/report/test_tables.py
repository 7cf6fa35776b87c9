from typing import Any

from obliviate.report.tables import NONE, utility


def figure(name: str, part: str, value: float, expected: float, *, lost: bool = False) -> dict[str, Any]:
    difference = {"value": value - expected, "low": value - expected, "high": value - expected}
    return {"figure": name, "part": part, "unit": "percent", "value": value, "expected": expected} | {
        "difference": difference,
        "lost": lost,
    }


def test_of_recalls_the_one_that_fell_most_is_shown_with_the_name_of_its_class_and_a_lost_one_first():
    accuracy = figure("accuracy", "unseen", 91.0, 92.0)
    yes, no = (
        figure("recall of class yes", "unseen", 0.0, 80.0, lost=True),
        figure("recall of class no", "retain", 9, 99),
    )
    ruined, whole = {"name": "ruined", "utility": [accuracy, no, yes]}, {"name": "whole", "utility": [accuracy]}
    table = utility([ruined, whole])
    assert table.heads == ["accuracy, unseen, %", "recall that fell most, %"]
    assert table.rows == [
        (ruined, [("91.0", "of 92.0"), ("0.0 ✕", "of 80.0: yes, unseen")]),
        (whole, [("91.0", "of 92.0"), NONE]),
    ]
