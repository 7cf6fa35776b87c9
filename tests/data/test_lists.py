"""Lists are read as spreadsheets, databases and people write them."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data.lists import read_names
from obliviate.errors import DataError


def names(
    folder: Path, content: bytes | str, *, file: str = "list.csv", column: str = "", existing: str = ""
) -> list[str]:
    path = folder / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_names(f"{path}{column}", known=set(existing.split("|")), headings=["id"])


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\nc",
        "a\r\nb\r\nc\r\n",
        "a\rb\rc\r",
        b"\xef\xbb\xbfa\r\nb\r\nc\r\n",
        "a\nb\nc\n".encode("utf-16"),
        '"a"\n"b"\n"c"\n',
        "a;;\nb;;\nc;;\n",
        "a,\n\n,,\nb,\nc,\n",
        "  a \n\tb\nc\n",
        "sep=;\r\na\r\nb\r\nc\r\n",
        "name;id\nx;a\ny;b\nz;c\n",
        "id\tname\na\tx\nb\ty\nc\tz\n",
        '"id","name"\n"a","x, y"\n"b","y"\n"c","z"\n',
        "ID,name\na,x\nb,y\nc\n,w\n",
    ],
)
def test_a_list_from_a_spreadsheet_is_read(tmp_path: Path, content: bytes | str) -> None:
    assert names(tmp_path, content) == ["a", "b", "c"]


def test_a_column_is_named(tmp_path: Path) -> None:
    table = "customer;id;Straße\n1;a;x\n2;b;y\n3;;z\n"
    assert names(tmp_path, table, column=":customer") == ["1", "2", "3"]
    assert names(tmp_path, table, column=": STRASSE ".strip()) == ["x", "y", "z"]
    assert names(tmp_path, table, column=":id") == ["a", "b"]
    with pytest.raises(DataError, match=r"^expected one column of list.csv, got 'age', which 0 of its 3 columns"):
        names(tmp_path, table, column=":age")


def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    assert names(tmp_path, "a\nb\n", file="list:id.txt") == ["a", "b"]


def test_names_with_commas_are_whole_lines(tmp_path: Path) -> None:
    existing = "Doe, Jane|Roe, Al"
    assert names(tmp_path, "Doe, Jane\nRoe, Al\nFoe, Bo\n", existing=existing) == ["Doe, Jane", "Roe, Al", "Foe, Bo"]
    assert names(tmp_path, 'person\n"Doe, Jane"\n"Roe, Al"\n', existing=existing) == ["person", "Doe, Jane", "Roe, Al"]
    assert names(tmp_path, "Doe, Jane\n", existing=existing) == ["Doe, Jane"]


def test_a_table_without_a_named_column_is_refused_and_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got 2 columns; name it after the file, as in @FILE:COLUMN$"):
        names(tmp_path, "customer,age\n1,30\n2,40\n")


def test_a_workbook_is_refused_and_says_how_to_save_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packed", "w") as file:
        file.writestr("xl/workbook.xml", "<x/>")
    packed = (tmp_path / "packed").read_bytes()
    books = {"list.xlsx": packed, "list.csv": packed, "old.xls": b"\xd0\xcf\x11\xe0", "a.ods": b"x"}
    for name, content in books.items():
        with pytest.raises(DataError, match=r"got a workbook or another packed file, .*; save the sheet as CSV"):
            names(tmp_path, content, file=name)


@pytest.mark.parametrize("content", [b"M\xfcller\n", b"a\0b\n", b"", b"\n;;\n", b"\xff\xfea", "id;name\n;x\n;y\n"])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes | str) -> None:
    with pytest.raises(DataError, match=r"^expected .*, got .*; "):
        names(tmp_path, content)


@pytest.mark.parametrize("path", ["nowhere.txt", ".", "x" * 300, "a\0b", "x" * 300 + ":id", ""])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(DataError, match=r"^expected a text file with one id or name a line, got .*; check it$"):
        read_names(path, known=(), headings=())


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    for reference in (str(path), f"{path}:id"):
        try:
            read = read_names(reference, known={"a"}, headings=["id"])
        except DataError as error:
            assert str(error).startswith("expected ")  # noqa: PT017
        else:
            assert read
