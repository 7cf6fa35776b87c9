"""Dates in conditions compare as dates, and are refused where they can be read in two ways."""

import numpy as np
import pytest

from obliviate.data.predicate import parse
from obliviate.errors import DataError

GERMAN = ["31.12.2019", "01.02.2020", "", "15.03.2018"]


def selected(condition: str, days: list[str]) -> list[int]:
    return np.flatnonzero(parse(condition).mask({"day": np.array(days)})).tolist()


@pytest.mark.parametrize(
    ("condition", "days", "rows"),
    [
        ("day < '01.01.2020'", GERMAN, [0, 3]),
        ("day < '2020-01-01'", GERMAN, [0, 3]),
        ("day >= '1 Jan 2020'", GERMAN, [1]),
        ("day < '2020'", GERMAN, [0, 3]),
        ("'2019-06' <= day <= '01.02.2020'", GERMAN, [0, 1]),
        ("day == '2020-02-01'", GERMAN, [1]),
        ("day != '2020-02-01'", GERMAN, [0, 2, 3]),
        ("day in ('1.2.2020', '2018-03-15')", GERMAN, [1, 3]),
        ("day == ''", GERMAN, [2]),
        ("day < '01/02/2020'", ["31/01/2020", "02/01/2020", "02/03/2020"], [0, 1]),
        ("day < '02/01/2020'", ["01/31/2020", "01/02/2020", "03/02/2020"], [0, 1]),
        ("day < '2020-01-02'", ["Jan 1, 2020", "2 January 2020", "3-Mar-2020"], [0]),
        ("day < '2020/1/2'", ["2020-01-01T23:59:59Z", "2020-01-02 00:00:00.5", "2020-01-02T01:00+02:00"], [0, 2]),
        ("day < '2020'", ["9-1", "10-1"], [1]),  # no dates, but texts
    ],
)
def test_dates_compare_as_dates(condition: str, days: list[str], rows: list[int]) -> None:
    assert selected(condition, days) == rows


def test_two_columns_of_dates_compare_as_dates() -> None:
    columns = {"begun": np.array(["31.12.2019", "02.01.2020"]), "ended": np.array(["2020-01-01", "2020-01-01"])}
    assert parse("begun < ended").mask(columns).tolist() == [True, False]


@pytest.mark.parametrize(
    ("condition", "days", "message"),
    [
        ("day < '2020-01-01'", ["01/02/2020", "03/04/2020"], "whether the day or the month comes first, got only such"),
        ("day < '2020-01-01'", ["31/01/2020", "01/31/2020"], "whether the day or the month comes first, got some with"),
        ("day < '01/02/2020'", ["2020-01-01", "2020-03-01"], "a date in the condition that can be read in one way"),
        ("day < '2020-01-01'", ["01.02.20", "03.04.21"], "dates with the whole year in column 'day', got '01.02.20'"),
        ("day < '1.2.20'", GERMAN, "a date in the condition that can be read in one way, got '1.2.20'"),
        ("day < '2020-02-30'", GERMAN, "a date that there is, got '2020-02-30' in the condition"),
        ("day < '2020-01-01'", ["2020-13-01"], "a date that there is, got '2020-13-01' in column 'day'"),
        (
            "day < '2020-01-01'",
            ["2020-01-01", "soon"],
            "dates in column 'day' to compare with '2020-01-01', got",
        ),
        ("day < 'soon'", GERMAN, "a date to compare with column 'day', got 'soon'"),
        ("day < 2020", GERMAN, "numbers in column 'day', got '31.12.2019'"),
    ],
)
def test_dates_that_cannot_be_compared_are_refused(condition: str, days: list[str], message: str) -> None:
    with pytest.raises(DataError, match=r"^expected .*, got .*; ") as error:
        selected(condition, days)
    assert message in str(error.value)
