import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from obliviate.data.formats.description import read_description
from obliviate.data.sources import load_data
from obliviate.errors import DataError

ROWS = """key,person,age,town,paid
a,ann,20,Rome,no
b,bob,30,Oslo,yes
c,ann,40,Rome,no
d,cy,50,Oslo,yes
e,bob,60,"Bonn, upper",no
"""
TEST = """key,person,age,town,paid
f,dan,25,Rome,yes
g,eve,35,Oslo,no
"""
SETTINGS = """path = "rows.csv"
test = "test.csv"
target = "paid"
id = "key"
owner = "person"
metadata = ["town"]
"""


def put(folder: Path, settings: str = SETTINGS, rows: str = ROWS, test: str = TEST) -> Path:
    (folder / "rows.csv").write_text(rows, encoding="utf-8")
    (folder / "test.csv").write_text(test, encoding="utf-8")
    (folder / "data.toml").write_text(settings, encoding="utf-8")
    return folder


def test_a_described_table_is_read_with_its_targets_ids_and_owners(tmp_path: Path):
    data = load_data(put(tmp_path))
    assert (data.kind, data.classes, data.owner) == ("classification", 2, "person")
    assert data.targets is not None
    assert data.targets.names == ("no", "yes")
    assert data.train.ids.tolist() == list("abcde")
    assert data.test.ids.tolist() == list("fg")
    assert data.train.everything().y.tolist() == [0, 1, 0, 1, 0]
    assert data.test.everything().y.tolist() == [1, 0]
    assert {name: column.tolist() for name, column in data.metadata.items()} == {
        "person": ["ann", "bob", "ann", "cy", "bob"],
        "town": ["Rome", "Oslo", "Rome", "Oslo", "Bonn, upper"],
    }
    assert data.ids_of("bob").tolist() == ["b", "e"]
    assert data.features is not None
    assert data.features.names == ("age", "town=Bonn, upper", "town=Oslo", "town=Rome")
    expected = [[-1.0607, 0, 0, 1], [-0.3536, 0, 1, 0]]  # (25 − 40) / √200
    torch.testing.assert_close(data.test.everything().x, torch.tensor(expected), atol=1e-4, rtol=0)


def test_the_file_itself_or_its_folder_is_the_source(tmp_path: Path):
    put(tmp_path)
    (tmp_path / "data.toml").rename(tmp_path / "mine.toml")
    named = load_data(tmp_path / "mine.toml")
    assert named.name == "mine"
    assert load_data(put(tmp_path)).sha256 == named.sha256


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_tables_are_the_same_data(tmp_path: Path, ending: str, compress: Any):
    expected = load_data(put(tmp_path)).sha256
    (tmp_path / f"rows.csv{ending}").write_bytes(compress(ROWS.encode()))
    assert load_data(put(tmp_path, SETTINGS.replace("rows.csv", f"rows.csv{ending}"))).sha256 == expected


MANY = "key,person,age,town,paid\n" + "".join(
    f"k{i:02d},p{i % 5},{20 + i},{('Rome', 'Oslo')[i % 2]},{('no', 'yes')[i // 2 % 2]}\n" for i in range(20)
)


def test_without_a_test_file_a_share_is_drawn_by_the_seed(tmp_path: Path):
    put(tmp_path, SETTINGS.replace('test = "test.csv"', "test_share = 0.3"), MANY)
    seen = set()
    for seed in range(5):
        data = load_data(tmp_path, seed=seed)
        assert (len(data.train), len(data.test)) == (14, 6)
        assert sorted([*data.train.ids, *data.test.ids]) == [f"k{i:02d}" for i in range(20)]
        assert data.metadata["person"].tolist() == [f"p{int(name[1:]) % 5}" for name in data.train.ids]
        seen.add(tuple(data.test.ids))
    assert len(seen) == 5
    assert load_data(tmp_path, seed=3).sha256 == load_data(tmp_path, seed=3).sha256


def test_without_ids_a_row_keeps_its_id_whatever_is_drawn(tmp_path: Path):
    settings = SETTINGS.replace('test = "test.csv"', "test_share = 0.3").replace('id = "key"', 'drop = ["key"]')
    loads = [load_data(put(tmp_path, settings, MANY), seed=seed) for seed in range(3)]
    together = [{str(name) for part in (data.train, data.test) for name in part.ids} for data in loads]
    assert len(together[0]) == 20
    assert together[0] == together[1] == together[2]
    assert loads[0].train.ids.tolist() != loads[1].train.ids.tolist()


def test_targets_of_a_regression_are_scaled_by_the_training_rows(tmp_path: Path):
    settings = SETTINGS.replace('"paid"', '["age"]\nkind = "regression"')
    data = load_data(put(tmp_path, settings))
    assert (data.kind, data.classes) == ("regression", 1)
    assert data.targets is not None
    assert (data.targets.names, data.targets.mean) == (("age",), (40.0,))
    assert data.targets.std == pytest.approx((200**0.5,))
    y = data.train.everything().y
    assert (y.shape, y.dtype) == ((5, 1), torch.float32)
    torch.testing.assert_close(y[:, 0] * 200**0.5 + 40, torch.tensor([20.0, 30, 40, 50, 60]))


def test_several_labels_are_columns_of_zeros_and_ones(tmp_path: Path):
    rows = "x,red,green\n1,0,1\n2,1,1\n3,0,0\n4,1,0\n"
    settings = 'path = "rows.csv"\ntest = "test.csv"\nkind = "multi-label"\ntarget = ["red", "green"]\n'
    data = load_data(put(tmp_path, settings, rows, "x,red,green\n5,1,1\n"))
    assert (data.kind, data.classes) == ("multi-label", 2)
    assert data.train.everything().y.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]
    assert data.train.everything().y.dtype == torch.float32
    with pytest.raises(DataError, match=r"^expected 0 or 1 in column 'green', got '2' in line 2 of test.csv; "):
        load_data(put(tmp_path, settings, rows, "x,red,green\n5,1,2\n"))


def test_class_numbers_are_in_the_order_of_numbers(tmp_path: Path):
    rows = "x,y\n1,10\n2,9\n3,-1\n4,9\n"
    settings = 'path = "rows.csv"\ntest = "test.csv"\ntarget = "y"\n'
    data = load_data(put(tmp_path, settings, rows, "x,y\n7,10\n"))
    assert data.targets is not None
    assert data.targets.names == ("-1", "9", "10")
    assert data.test.everything().y.tolist() == [2]


def test_a_file_without_a_line_of_names_is_given_them(tmp_path: Path):
    settings = SETTINGS + 'columns = ["key", "person", "age", "town", "paid"]\ndelimiter = ";"\n'
    rows = ROWS.replace('"Bonn, upper"', "Bonn").replace(",", ";").partition("\n")[2]
    data = load_data(put(tmp_path, settings, rows, TEST.replace(",", ";").partition("\n")[2]))
    assert data.train.ids.tolist() == list("abcde")
    assert data.metadata["town"].tolist()[-1] == "Bonn"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS.replace("30,Oslo", "30"), r"^expected 5 cells in every line of rows.csv, got 4 in line 3; "),
        (ROWS + "h,ann,1,Rome,no,extra\n", r"^expected 5 cells in every line of rows.csv, got 6 in line 7; "),
        (ROWS.replace('"Bonn, upper"', '"Bonn'), r"^expected cells between ',' in rows.csv, got .* in line "),
        (ROWS.replace("town", "age"), r"^expected columns of different names in rows.csv, got 'age' twice; "),
        ("", r"^expected rows in rows.csv, got none; "),
        ("key,person,age,town,paid\n", r"^expected rows in rows.csv, got none; "),
        (ROWS.replace("Rome,no", "Rome,"), r"^expected a target .*, got none in column 'paid', line 2 of rows.csv; "),
        (ROWS.replace("yes", "no"), r"^expected two classes or more in column 'paid' of rows.csv, got 1; "),
        (ROWS.replace("no", "perhaps"), r"^expected a class of 'paid' .*, got 'no' in line 3 of test.csv; "),
        (ROWS.replace("b,bob", "a,bob"), r"^expected ids without duplicates, got 'a' more than once; "),
        (ROWS.replace("Oslo", "Ulm"), r"^expected a category of 'town' .*, got 'Oslo' in line 3 of test.csv; "),
        (ROWS.replace("town", "city"), r"^expected a column of test.csv \(.*\), got 'city'; "),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, rows: str, message: str):
    with pytest.raises(DataError, match=message):
        load_data(put(tmp_path, rows=rows))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("target = 'paid'", r"^expected a path to the data in .*data.toml, got none; "),
        ("path = ", r"^expected settings in TOML in .*data.toml, got .*; "),
        (SETTINGS + 'traget = "paid"', r"^expected settings of .* in .*, got traget; "),
        (SETTINGS + "test_share = 1.5", r"^expected a share of the rows in \(0, 1\) for test_share, got 1.5; "),
        (SETTINGS + "test_share = true", r"^expected a number for test_share, got True; "),
        (SETTINGS + "length = 0", r"^expected a number of tokens above 0 for length, got 0; "),
        (SETTINGS + 'kind = "ranking"', r"^expected one of classification, .* for kind, got 'ranking'; "),
        (
            SETTINGS + 'unseen_categories = "keep"',
            r"^expected one of refuse, ignore for unseen_categories, got 'keep'; ",
        ),
        (SETTINGS + "drop = 3", r"^expected a list of texts for drop, got 3; "),
        (SETTINGS + 'drop = "age"', r"^expected a list of texts for drop, got 'age'; "),
        (SETTINGS + 'drop = ["height"]', r"^expected a column of rows.csv \(.*\), got 'height'; "),
        (SETTINGS + "roles = 1", r"^expected true or false for roles, got 1; "),
        (SETTINGS + 'delimiter = ", "', r"^expected one sign for delimiter, got ', '; "),
        (SETTINGS + 'remove = ["names"]', r"^expected some of headers, footers, quotes for remove, got 'names'; "),
        (
            SETTINGS.replace('"paid"', '["paid", "age"]'),
            r"^expected one target column for classification, got paid, age",
        ),
        (SETTINGS.replace('target = "paid"', ""), r"^expected one target column for classification, got none; "),
        (SETTINGS.replace("rows.csv", "absent.csv"), r"^expected text in UTF-8 in .*absent.csv, got .*; "),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: str, message: str):
    with pytest.raises(DataError, match=message):
        load_data(put(tmp_path, settings))


def test_a_description_has_defaults_and_paths_from_its_own_folder(tmp_path: Path):
    description = read_description(put(tmp_path) / "data.toml")
    assert (description.path, description.test) == (tmp_path / "rows.csv", tmp_path / "test.csv")
    assert (description.target, description.kind, description.length) == (("paid",), "classification", 128)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    put(tmp_path)
    (tmp_path / "rows.csv").write_bytes(b"key\xff\xfe")
    with pytest.raises(DataError, match=r"^expected text in UTF-8 in .*rows.csv, got .*; "):
        load_data(tmp_path)


def test_a_parquet_table_is_read_or_the_way_to_read_it_is_told(tmp_path: Path):
    put(tmp_path, SETTINGS.replace("rows.csv", "rows.parquet"))
    try:
        from pyarrow import parquet, table  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(DataError, match=r"^expected pyarrow for reading rows.parquet, got none; install it with "):
            load_data(tmp_path)
        return
    rows = [line.split(",") for line in ROWS.replace('"Bonn, upper"', "Bonn").splitlines()]
    columns: dict[str, Any] = {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}
    parquet.write_table(table(columns | {"age": [int(age) for age in columns["age"]]}), tmp_path / "rows.parquet")
    assert load_data(tmp_path).train.ids.tolist() == list("abcde")


def test_holdout_samples_of_a_table_are_drawn_with_their_ids(tmp_path: Path):
    data = load_data(put(tmp_path), holdout_size=1, train_size=3, seed=1)
    assert data.holdout is not None
    assert len(np.unique([*data.train.ids, *data.holdout.ids])) == 4
    people = {line.split(",")[0]: line.split(",")[1] for line in ROWS.splitlines()}
    assert data.metadata["person"].tolist() == [people[name] for name in data.train.ids]
