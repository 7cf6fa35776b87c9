import lzma
from pathlib import Path

import pytest

from obliviate.data.sources import load_data
from obliviate.errors import DataError

TRAIN = """9, State-gov, 77516, HS-grad, 13, Never-married, Adm-clerical, Husband, White, Male, 2174, 0, 40, Cuba, <=50K
50, ?, 83311, Bachelors, 13, Divorced, Exec-managerial, Husband, White, Male, 0, 0, 13, United-States, >50K
38, Private, 215646, HS-grad, 9, Divorced, Handlers-cleaners, Husband, Black, Female, 0, 5, 40, United-States, <=50K

"""
TEST = """|1x3 Cross validator
25, Private, 226802, HS-grad, 9, Divorced, Adm-clerical, Husband, Black, Male, 0, 0, 40, United-States, <=50K.
44, ?, 160323, Bachelors, 10, Divorced, Adm-clerical, Husband, Black, Male, 7688, 0, 40, United-States, >50K.

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "adult.data").write_text(TRAIN)
    (tmp_path / "adult.test.xz").write_bytes(lzma.compress(TEST.encode()))
    (tmp_path / "adult.names").write_text("| remarks")
    return tmp_path


def test_adult_is_read_as_published(folder: Path):
    data = load_data(folder)
    assert data.targets is not None
    assert data.targets.names == ("<=50K", ">50K")
    assert data.train.everything().y.tolist() == [0, 1, 0]
    assert data.test.everything().y.tolist() == [0, 1]
    assert data.metadata["sex"].tolist() == ["Male", "Male", "Female"]
    assert data.ids_of("Black", column="race").tolist() == data.train.ids[2:].tolist()
    assert data.features is not None
    numbers = [name for name, free in zip(data.features.names, data.features.continuous, strict=True) if free]
    assert numbers == ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    column = data.features.names.index("workclass=(missing)")
    assert data.train.everything().x[:, column].tolist() == [0, 1, 0]
    assert data.test.everything().x[:, column].tolist() == [0, 1]


def test_a_missing_or_short_file_is_refused(folder: Path):
    (folder / "adult.data").write_text(TRAIN.replace(", Cuba", ""))
    with pytest.raises(DataError, match=r"^expected 15 cells in every line of adult.data, got 14 in line 1; "):
        load_data(folder)
    (folder / "adult.test.xz").unlink()
    with pytest.raises(
        DataError, match=r"^expected adult.test, adult.test.gz or adult.test.xz in .*, got none of them"
    ):
        load_data(folder)
