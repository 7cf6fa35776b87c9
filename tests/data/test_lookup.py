"""Names in any spelling are found where that is clear, and every one that is not is told, by what it is."""

import pytest

from obliviate.data.lookup import look_up, spelling
from obliviate.errors import DataError

KNOWN = ["17", "018", "caf\u00e9", "image 3.png", "5"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (" 17", "17"),
        ("17\t", "17"),
        ("\ufeff17", "17"),
        ("17\u200b", "17"),
        ("\u00a017", "17"),
        ("017", "17"),
        ("17.0", "17"),
        ("+17.00", "17"),
        ("18", "018"),
        ("18.0", "018"),
        ("cafe\u0301", "caf\u00e9"),
        ("image  3.png", "image 3.png"),
    ],
)
def test_an_id_is_found_in_any_spelling(asked: str, expected: str) -> None:
    assert look_up([asked], KNOWN).found == [expected]


@pytest.mark.parametrize("asked", ["17.5", "1.7", "-17", "171", "CAFÉ", "image3.png", "1.7e1", "", "17."])
def test_what_is_another_name_is_not_found(asked: str) -> None:
    assert look_up([asked], KNOWN).counts == {"unknown": 1}


def test_an_exact_name_goes_first_and_a_spelling_of_two_is_ambiguous() -> None:
    names = ["17", "017", "17.0"]
    assert look_up(names, names).found == names
    assert look_up(["0017"], names).counts == {"ambiguous": 1}


def test_numbers_of_any_length_are_spelled() -> None:
    digits = "9" * 10_000
    assert spelling(f"00{digits}.0") == digits
    assert spelling("000") == spelling("0") == "0"


def test_each_name_is_is_known_of_what_it_is() -> None:
    elsewhere = {"test": ["t1"], "holdout": ["h1"], "forgotten": ["f1"]}
    lookup = look_up(["id", "17", "017", "t1", "h1", "f1", "x"], KNOWN, elsewhere, listed=True)
    statuses = ["heading", "found", "duplicate", "test", "holdout", "forgotten", "unknown"]
    assert [entry.status for entry in lookup.entries] == statuses
    assert [entry.to_dict() for entry in lookup.entries][2] == {"asked": "017", "found": "17", "status": "duplicate"}
    assert lookup.checked("ids", "skip", samples=5) == ["17"]
    with pytest.raises(DataError, match=r"^expected ids of these 5 samples, got 4 of 5 that are none: ") as error:
        lookup.checked("ids", "refuse", samples=5)
    for words in ("1 of the test set, never trained on ('t1')", "1 forgotten already ('f1')", "1 not known ('x')"):
        assert words in str(error.value)


@pytest.mark.parametrize("first", ["ID", "Customer_ID", "Benutzer"])
def test_a_heading_is_known_by_its_word_or_by_its_look(first: str) -> None:
    assert look_up([first, "17", "5"], KNOWN, listed=True).counts == {"heading": 1, "found": 2}
    assert look_up([first, "17", "5"], KNOWN).counts == {"unknown": 1, "found": 2}  # of a text, it is a name


def test_a_name_that_is_unknown_is_not_taken_for_a_heading() -> None:
    assert look_up(["99", "17", "5"], KNOWN, listed=True).counts == {"unknown": 1, "found": 2}
    assert look_up(["17", "id"], KNOWN, listed=True).counts == {"unknown": 1, "found": 1}


def test_none_found_is_refused_though_unknown_names_are_skipped() -> None:
    with pytest.raises(DataError, match=r"^expected ids of these 5 samples, got 1 of 1 that are none: 1 not known"):
        look_up(["x"], KNOWN).checked("ids", "skip", samples=5)


@pytest.mark.usefixtures("unchecked")
def test_another_way_with_unknown_names_is_refused() -> None:
    with pytest.raises(DataError, match=r"^expected unknown names to be dealt with by refuse or skip, got 'drop'; "):
        look_up(["17"], KNOWN).checked("ids", "drop", samples=5)  # pyright: ignore[reportArgumentType]
