import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.predicate import Predicate, hint, matched, parse, values
from obliviate.errors import DataError

COLUMNS = {
    "age": np.array([17, 18, 18, 30, 64, 90]),
    "score": np.array([-1.5, 0.0, 0.5, np.nan, 2.0, 2.0]),
    "town": np.array(["Ulm", "Bonn", "Ulm", "Kiel", "", "Bonn"]),
    "rows": np.array(["3", "-1", "", "2.5", "3", "10"]),
    "old": np.array([False, False, False, False, True, True]),
}


def mask(text: str) -> list[int]:
    return np.flatnonzero(parse(text).mask(COLUMNS)).tolist()


SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBERS = st.one_of(st.integers(-3, 95), st.floats(-3, 95, allow_nan=False)).map(repr)
TEXTS = st.sampled_from(["'Ulm'", '"Bonn"', "'Kiel'", "''", "'M'"])


def listed(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items, min_size=1, max_size=3).map(lambda texts: f"({', '.join(texts)},)")


COMPARISONS = st.one_of(
    st.tuples(st.sampled_from(["age", "score"]), SIGNS, NUMBERS).map(" ".join),
    st.tuples(NUMBERS, SIGNS, st.sampled_from(["age", "score"]), SIGNS, NUMBERS).map(" ".join),
    st.tuples(st.just("town"), SIGNS, TEXTS).map(" ".join),
    st.tuples(st.just("age"), st.sampled_from(["in", "not in"]), listed(NUMBERS)).map(" ".join),
    st.tuples(st.just("town"), st.sampled_from(["in", "not in"]), listed(TEXTS)).map(" ".join),
    st.just("age > score"),
    st.just("old"),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join),
        inner.map(lambda text: f"not ({text})"),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=5,
)


@settings(max_examples=100)
@given(CONDITIONS)
def test_a_condition_means_what_python_means_by_it(text: str):
    rows = [{name: column[row].item() for name, column in COLUMNS.items()} for row in range(6)]
    assert parse(text).mask(COLUMNS).tolist() == [eval(text, {}, row) for row in rows]  # the oracle, on our own texts


def test_columns_of_texts_compare_with_numbers_where_all_entries_are_numbers():
    assert mask("rows > 2.6") == [0, 4, 5]
    assert mask("rows == 3") == [0, 4]
    assert mask("rows == '3'") == [0, 4]
    assert mask("rows != 3") == [1, 2, 3, 5]  # what is unknown is not 3
    assert mask("rows < 100 or rows >= 100") == [0, 1, 3, 4, 5]
    assert mask("rows in (-1, 10)") == [1, 5]
    assert mask("age < rows or rows > age") == []
    with pytest.raises(DataError, match=r"^expected numbers in column 'town', got 'Ulm'; put quotes around 3$"):
        parse("town == 3").mask(COLUMNS)
    with pytest.raises(DataError, match=r"^expected numbers in column 'town', got 'Ulm'; correct it$"):
        parse("town < age").mask(COLUMNS)


@pytest.mark.parametrize("text", ["age == '18'", "'18' < age", "18 < age < '64'", "age in (17, '18')", "old == 'True'"])
def test_columns_of_numbers_do_not_compare_with_texts(text: str):
    with pytest.raises(
        DataError, match=r"^expected a number to compare with (age|old), got '.*'; leave out the quotes$"
    ):
        parse(text).mask(COLUMNS)


def test_a_month_is_its_first_day():
    days = {"day": np.array(["2020-01-31", "2020-02-01"], dtype="datetime64[D]")}
    assert parse("day >= '2020-02'").mask(days).tolist() == [False, True]


def test_truth_is_a_condition_and_a_number_is_none():
    assert mask("not old and age > 17") == [1, 2, 3]
    assert mask("old == True") == [4, 5]
    with pytest.raises(
        DataError, match=r"^expected a column of true and false, got 'age'; compare it, as in age == …$"
    ):
        mask("age or old")


def test_objects_are_numbers_texts_or_nothing():
    mixed = {"a": np.array([1, 2.5], dtype=object), "b": np.array(["x", None], dtype=object)}
    assert parse("a > 2").mask(mixed).tolist() == [False, True]
    assert parse("b == ''").mask(mixed).tolist() == [False, True]


def test_what_pandas_writes_for_a_missing_entry_is_none():
    entries = [math.nan, pd.NA, pd.NaT, None, "nan"]
    dates = np.array(["2020-01-01", "NaT", "2021-01-01", "NaT", "2022-01-01"], dtype="datetime64[D]")
    columns = {"town": np.array(entries, dtype=object), "since": dates}
    assert parse("town == ''").mask(columns).tolist() == [True, True, True, True, False]
    assert parse("town == 'nan'").mask(columns).tolist() == [False, False, False, False, True]
    assert parse("since < '2021-06-01'").mask(columns).tolist() == [True, False, True, False, False]
    assert values("town", columns["town"]) == "town is nothing (4), nan (1)"


def test_any_name_of_a_column_can_be_written():
    columns = {"hours-per-week": np.array([1, 2]), "class": np.array(["`a`", "b"]), "column_0_": np.array([5, 6])}
    parsed = parse("`hours-per-week` < 2 and `class` == '`a`' and column_0_ == 5")
    assert parsed.columns == ("hours-per-week", "class", "column_0_")
    assert parsed.mask(columns).tolist() == [True, False]


FOREIGN = [
    "__import__('os').system('true')",
    "open('x')",
    "age.__class__ == 1",
    "age[0] == 1",
    "age + 1 > 2",
    "-age > 1",
    "not 3",
    "True",
    "'text'",
    "lambda: age",
    "[age for age in (1, 2)]",
    "age if old else score",
    "(age := 3) > 2",
    "age is 3",
    "age == None",
    "age == b'x'",
    "age == 1j",
    "age == f'{old}'",
    "age == ...",
    "age == -True",
    "age == - -3",
    "*age",
    "age, old",
    "{'age': 1}",
    "await age",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_nothing_but_conditions_is_read(text: str):
    with pytest.raises(DataError, match=r"^expected (columns, numbers, quoted|a condition such as) .*, got .*"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a condition such as age >= 18"),
        ("age >", "a condition such as age >= 18"),
        ("age = 3", "a condition such as age >= 18"),
        ("age == 3; old", "a condition such as age >= 18"),
        ("age == 'a\\d'", "a condition such as age >= 18"),
        ("age == '\0'", "a condition such as age >= 18"),
        ("(" * 400 + "old" + ")" * 400, "a condition such as age >= 18"),
        ("old and " * 200, "a condition of at most 1000 characters"),
        ("1 < 2", "a column in every comparison"),
        ("age > 1 < 2", "a column in every comparison"),
        ("3 in (3, 4)", "a column in every comparison"),
        ("town in 'Ulm'", "a list after `in`"),
        ("age in ()", "a list after `in`"),
        ("'Ulm' in town", "a list after `in`"),
        ("town in (Ulm, Bonn)", "numbers or quoted texts in a list"),
    ],
)
def test_a_condition_that_is_wrong_is_refused_with_what_is_right(text: str, expected: str):
    with pytest.raises(DataError, match=f"^expected {re.escape(expected)}.*, got "):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age = 3", "got 'age = 3' (write == for =); use "),
        ("town == 'a=b' and", "got \"town == 'a=b' and\" (invalid syntax); use "),
        ("age == 1 & score > 0", "got & in 'age == 1 & score > 0'; write `and` in its place"),
        ("(age == 1) | old", "got | in '(age == 1) | old'; write `or` in its place"),
        ("~(age == 1)", "got ~ in '~(age == 1)'; write `not` in its place"),
    ],
)
def test_what_pandas_and_sql_write_is_told_as_it_is_written_here(text: str, said: str):
    with pytest.raises(DataError) as refusal:
        parse(text)
    assert said in str(refusal.value)


def test_deep_conditions_are_read_or_refused_and_nothing_else():
    deep: Predicate = parse("not " * 240 + "old")
    assert deep.mask(COLUMNS).tolist() == COLUMNS["old"].tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (COLUMNS, "expected a column of age, score, town, rows, old, got 'agee'; did you mean 'age'?"),
        ({"town": COLUMNS["town"]}, "expected a column of town, got 'agee'; name one of them"),
        ({}, "expected data with columns beside the samples, got none named 'agee'; give them, or name ids instead"),
    ],
)
def test_an_unknown_column_is_refused_with_those_that_are_there(columns: dict[str, Any], message: str):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        parse("agee > 3").mask(columns)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("age > 90", "'age > 90', which none of them meets (age is 17 … 90); change it"),
        ("age <= 90", "'age <= 90', which all 6 meet (age is 17 … 90); change it"),
        ("town == 'Rom'", "which none of them meets (town is Bonn (2), Ulm (2), nothing (1), Kiel (1)); change it"),
        ("score > 9 and old", "(score is -1.5 … 2; old is False (4), True (2))"),
    ],
)
def test_a_condition_that_all_or_none_meet_is_refused(text: str, got: str):
    with pytest.raises(
        DataError, match=r"^expected a condition that some of the 6 training samples meet, got "
    ) as error:
        matched(parse(text), COLUMNS)
    assert got in str(error.value)


def test_what_a_column_holds_is_told_in_short():
    assert values("n", np.arange(12).astype(np.str_)).endswith(" and 2 more")
    assert values("n", np.array([np.nan])) == "n is unknown everywhere"
    assert hint("w11", ["w1", "w12", "x"]) == "did you mean 'w1' or 'w12'?"
