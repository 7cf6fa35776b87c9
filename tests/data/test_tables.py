import re
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from obliviate.data.tables import CategoryColumn, NumberColumn, Table, TableEncoder
from obliviate.errors import DataError


def table(name: str = "rows.csv", **columns: list[str]) -> Table:
    n = len(next(iter(columns.values())))
    cells = {key: np.array(column, dtype=object) for key, column in columns.items()}
    return Table(cells, np.arange(2, n + 2), name)


def random_table(n: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    return table(
        age=[f"{age:.3f}" for age in rng.normal(40, 12, n)],
        town=rng.choice(["Rome", "Oslo", "Bonn"], n).tolist(),
        income=[str(income) for income in rng.integers(-(10**6), 10**6, n)],
        sex=rng.choice(["f", "m"], n).tolist(),
    )


def test_rows_are_encoded_as_scikit_learn_does_with_the_statistics_of_the_training_rows():
    train, test = random_table(80, 0), random_table(30, 1)
    encoder = TableEncoder.fit(train)

    def columns(of: Table, *names: str) -> np.ndarray:
        return np.stack([of.column(name) for name in names], axis=1)

    scaler = StandardScaler().fit(columns(train, "age", "income").astype(float))
    categories = OneHotEncoder(sparse_output=False).fit(columns(train, "town", "sex"))
    for part in (train, test):
        x = encoder.encode(part)
        numbers = np.asarray(scaler.transform(columns(part, "age", "income").astype(float)))
        one_hot = np.asarray(categories.transform(columns(part, "town", "sex")))
        expected = np.column_stack([numbers[:, 0], one_hot[:, :3], numbers[:, 1], one_hot[:, 3:]])
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)


def test_features_say_what_may_be_perturbed_and_in_what_range():
    train = random_table(50, 0)
    encoder = TableEncoder.fit(train)
    features, x = encoder.features, encoder.encode(train)
    assert features.names == ("age", "town=Bonn", "town=Oslo", "town=Rome", "income", "sex=f", "sex=m")
    assert features.continuous.tolist() == [True, False, False, False, True, False, False]
    np.testing.assert_array_equal(features.low, x.min(0))
    np.testing.assert_array_equal(features.high, x.max(0))


def test_missing_cells_are_a_category_or_the_mean():
    train = table(age=["10", "?", "30", ""], town=["Rome", "?", "Oslo", ""])
    encoder = TableEncoder.fit(train)
    assert encoder.columns == (NumberColumn("age", 20.0, 10.0), CategoryColumn("town", ("(missing)", "Oslo", "Rome")))
    assert encoder.encode(train).tolist() == [[-1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]]
    assert encoder.notes == ("missing numbers of the training rows stand at the mean: age (2 of 4)",)


def test_columns_that_never_change_are_left_out_with_a_note():
    train = table(a=["1", "2", "3"], b=["5", "5.0", "5"], c=["x", "x", "x"], d=["", "", ""], e=["7", "", "7"])
    encoder = TableEncoder.fit(train)
    assert encoder.features.names == ("a",)
    assert encoder.notes == ("columns that are the same in every training row are left out: b, c, d, e",)
    with pytest.raises(DataError, match=r"^expected columns that differ between rows of rows.csv, got none; "):
        TableEncoder.fit(train.without(["a"]))


def test_a_number_is_a_category_where_the_user_says_so():
    encoder = TableEncoder.fit(table(zip=["10", "9", "10"]), categorical=["zip"])
    assert encoder.features.names == ("zip=10", "zip=9")
    assert not encoder.features.continuous.any()


def test_a_category_that_no_training_row_has_is_refused_or_becomes_zeros():
    train, test = table(town=["Rome", "Oslo"], n=["1", "2"]), table("test.csv", town=["Oslo", "Bonn"], n=["1", "1"])
    with pytest.raises(
        DataError, match=r"^expected a category of 'town' that a training row has, got 'Bonn' in line 3 of test.csv; "
    ):
        TableEncoder.fit(train).encode(test)
    x = TableEncoder.fit(train, unseen_categories="ignore").encode(test)
    assert x.tolist() == [[1, 0, -1], [0, 0, -1]]


@pytest.mark.parametrize("cell", ["many", "1,5", "inf", "1_000_"])
def test_a_cell_that_is_no_number_is_refused_with_its_line(cell: str):
    encoder = TableEncoder.fit(table(age=["1", "2"]))
    with pytest.raises(
        DataError, match=rf"^expected a finite number in column 'age', got '{cell}' in line 3 of t.csv; "
    ):
        encoder.encode(table("t.csv", age=["1", cell]))


def test_a_column_of_too_many_categories_is_refused_with_the_commonest_word():
    cells = [f"v{place}" for place in range(1500)] + ["other", "other", "unknown"]
    with pytest.raises(DataError, match=r"got 1502 different cells such as 'other' in 'n' of rows.csv; drop"):
        TableEncoder.fit(table(n=cells))


@pytest.mark.parametrize("word", ["NA", "n/a", "#N/A", "null", "None", "NaN", "-", "--", ".", "missing", "?", ""])
def test_usual_words_for_a_missing_number_are_read_so(word: str):
    encoder = TableEncoder.fit(table(a=[*map(str, range(20)), word, word]))
    assert encoder.features.names == ("a",)
    assert encoder.notes == ("missing numbers of the training rows stand at the mean: a (2 of 22)",)
    assert encoder.encode(table(a=[word])).tolist() == [[0.0]]


def test_words_among_categories_and_where_missing_is_given_are_cells_as_any_other():
    assert TableEncoder.fit(table(a=["NA", "FR", "NA", "DE"])).features.names == ("a=DE", "a=FR", "a=NA")
    with pytest.raises(DataError, match=r"got 'NA' in line \d+; correct it, say `missing = \[\"x\", \"NA\"\]` if"):
        TableEncoder.fit(table(a=[*map(str, range(20)), "NA", "x"]), missing=("x",))


def test_a_cell_among_numbers_that_is_none_is_named_with_its_column_and_line():
    cells = [*map(str, range(20)), "unknown"]
    with pytest.raises(DataError, match=r"'a' of rows.csv, as most cells are, got 'unknown' in line 22; correct it"):
        TableEncoder.fit(table(a=cells))
    assert TableEncoder.fit(table(a=cells), missing=("unknown",)).features.names == ("a",)
    assert len(TableEncoder.fit(table(a=cells), categorical=["a"]).features.names) == 21


def test_decimal_commas_are_told_and_can_be_read():
    rows = table(a=[f"1.{place:03d},5" for place in range(20)])
    with pytest.raises(DataError, match=r"decimal point in column 'a' of rows.csv, got such as '1.000,5'; say"):
        TableEncoder.fit(rows)
    assert rows.with_points().column("a").tolist()[:2] == ["1000.5", "1001.5"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "customer_id"])
def test_columns_that_count_or_name_the_rows_are_noted(name: str):
    columns: dict[str, Any] = {
        name: [str(7 * place) for place in range(30)],
        "b": [str(place % 5) for place in range(30)],
    }
    rows = table(**columns)
    (note,) = TableEncoder.fit(rows).notes
    assert note.startswith(f"columns that seem to count or name the rows are inputs: {name!r}; list them under `drop`")


def test_measurements_that_all_differ_are_no_row_numbers():
    assert TableEncoder.fit(table(a=[f"{place / 7:.3f}" for place in range(30)])).notes == ()


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        (
            [f"person {place}" for place in range(30)],
            "got another cell in every row, such as 'person 0'; say `id = \"a\"`",
        ),
        (
            [f"2020-01-{1 + place % 28:02d}" for place in range(60)],
            "got dates such as '2020-01-01'; list the column under",
        ),
    ],
    ids=["names", "dates"],
)
def test_names_and_dates_are_no_categories_unless_they_are_said_to_be(cells: list[str], got: str):
    with pytest.raises(DataError, match=re.escape(got)):
        TableEncoder.fit(table(a=cells))
    assert len(TableEncoder.fit(table(a=cells), categorical=["a"]).features.names) == len(set(cells))


def test_an_id_follows_the_cells_wherever_the_row_stands():
    whole = random_table(20, 0)
    assert whole.take(np.arange(20)[::-1]).ids().tolist() == whole.ids().tolist()[::-1]
    assert len(set(whole.ids())) == 20
    first, second, copy = table(a=["1", "11", "1"], b=["11", "1", "11"]).ids()
    assert (first != second, copy) == (True, f"{first}-2")


def test_a_name_that_the_table_does_not_have_is_refused():
    for ask in (lambda rows: rows.column("b"), lambda rows: rows.without(["b"])):
        with pytest.raises(DataError, match=r"^expected a column of rows.csv \(a\), got 'b'; "):
            ask(table(a=["1", "2"]))


@pytest.mark.parametrize("columns", [{"a": ["1"], "b": ["1", "2"]}, {"a": []}])
def test_tables_without_whole_rows_are_refused(columns: Any):
    with pytest.raises(DataError, match=r"^expected .* rows.csv, got .*; "):
        table(**columns)
