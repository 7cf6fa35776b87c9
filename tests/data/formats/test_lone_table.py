"""Tables without a description."""

from pathlib import Path

import numpy as np
import pytest

from obliviate import load_data
from obliviate.errors import DataError


def written(folder: Path, heads: str, *, sign: str = ",", name: str = "people.csv", encoding: str = "utf-8") -> Path:
    rows = [f"{place / 2},{'Oslo' if place % 2 else 'Rome'},{place % 3}" for place in range(60)]
    path = folder / name
    path.write_text("\n".join([heads, *rows]).replace(",", sign), encoding=encoding)
    return path


@pytest.mark.parametrize(("sign", "target"), [(",", "target"), (";", "Label"), ("\t", "class"), ("|", "y")])
def test_a_table_with_a_column_that_is_called_so_is_read_and_said(tmp_path: Path, sign: str, target: str):
    data = load_data(written(tmp_path, f"age,town,{target}", sign=sign))
    assert data.features is not None
    assert data.features.names == ("age", "town=Oslo", "town=Rome")
    assert (data.classes, data.kind) == (3, "classification")
    assert data.notes[0].startswith(f"column {target!r} of people.csv is taken for the classes to predict")


def test_the_only_table_of_a_folder_is_read_and_the_mark_of_utf_16_is_known(tmp_path: Path):
    written(tmp_path, "age,town,y", encoding="utf-16")
    (tmp_path / "README.md").touch()
    assert load_data(tmp_path).classes == 3


def test_of_several_tables_none_is_guessed(tmp_path: Path):
    written(tmp_path, "age,town,y")
    written(tmp_path, "age,town,y", name="others.csv")
    with pytest.raises(DataError, match="got a folder without any of these"):
        load_data(tmp_path)


@pytest.mark.parametrize(("sign", "line"), [(",", ""), (";", '\ndelimiter = ";"'), ("\t", '\ndelimiter = "\\t"')])
def test_where_nothing_tells_the_target_a_description_is_drafted_that_can_be_used(tmp_path: Path, sign: str, line: str):
    path = written(tmp_path, "age,town,wealth", sign=sign)
    with pytest.raises(DataError, match=r"^expected a column of classes called .*, got age, town, wealth; ") as error:
        load_data(path)
    draft = str(error.value).partition("\n\n")[2]
    assert draft == f'path = "people.csv"\ntarget = "wealth"  # or another column{line}'
    (tmp_path / "data.toml").write_text(draft)
    assert load_data(tmp_path).classes == 3


def test_a_target_of_many_numbers_is_drafted_as_a_regression(tmp_path: Path):
    rows = [f"{place % 7},{place}.5" for place in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["age,target", *rows]))
    with pytest.raises(DataError, match='kind = "regression"'):
        load_data(tmp_path / "t.csv")


def test_latin_1_is_refused_with_the_command_that_converts_it(tmp_path: Path):
    path = written(tmp_path, "age,town,y")
    path.write_bytes(path.read_text().replace("Oslo", "Malmö").encode("latin-1"))
    with pytest.raises(DataError, match=r"^expected text in UTF-8 in .*, got .*; save it as UTF-8, with `iconv"):
        load_data(path)


def test_decimal_commas_of_inputs_and_of_targets_are_read_where_the_description_says_so(tmp_path: Path):
    rows = [f"{place},5;{2 * place},25" for place in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["x;price", *rows]))
    (tmp_path / "data.toml").write_text('path = "t.csv"\ntarget = "price"\nkind = "regression"\ndecimal = ","')
    batch = load_data(tmp_path).train.everything()
    np.testing.assert_allclose(batch.x[:, 0].numpy(), batch.y[:, 0].numpy(), atol=1e-5)  # both standardised
