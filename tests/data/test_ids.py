from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obliviate.data import ids
from obliviate.data.ids import Places, as_ids, common, distinct, ids_sha256, shown
from obliviate.errors import DataError


@settings(max_examples=60)
@given(st.lists(st.sampled_from("abc"), max_size=20))
def test_distinct_numbers_copies_in_order(hashes: list[str]):
    names = distinct(hashes).tolist()
    assert len(set(names)) == len(hashes)
    for i, (name, digest) in enumerate(zip(names, hashes, strict=True)):
        before = Counter(hashes[:i])[digest]
        assert name == (digest if before == 0 else f"{digest}-{before + 1}")


@settings(max_examples=60)
@given(st.lists(st.text("abé ", min_size=1, max_size=3), max_size=8))
def test_as_ids_keeps_order_and_refuses_exactly_the_duplicates(names: list[str]):
    if len(set(names)) == len(names):
        assert as_ids(names, what="ids").tolist() == names
        assert as_ids(np.array(names, dtype=np.str_), what="ids").tolist() == names
    else:
        with pytest.raises(DataError, match=r"expected ids without duplicates, got .* more than once"):
            as_ids(names, what="ids")


def test_the_message_names_the_duplicates_and_nothing_else():
    with pytest.raises(DataError, match="got 'b', 'd' more than once"):
        as_ids(["a", "b", "b", "c", "d", "d", "d"], what="ids")


def test_numbers_serve_as_ids():
    assert as_ids(iter([7, 11]), what="ids").tolist() == ["7", "11"]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("n", "text"), [(0, ""), (1, "'0'"), (3, "'0', '1', '2'"), (4, "'0', '1', '2' and 1 more"), (9, "and 6 more")]
)
def test_shown_quotes_three_and_counts_the_rest(n: int, text: str):
    result = shown([str(i) for i in range(n)])
    assert result == text or (n > 4 and result.endswith(text))


def test_a_nul_at_the_end_of_an_id_is_refused_as_an_array_would_drop_it():
    for names in (["a", "b\0"], ["\0"]):
        with pytest.raises(DataError, match="expected ids to forget without a NUL at their end, got one; rename"):
            as_ids(names, what="ids to forget")
    assert as_ids(["a\0b"], what="ids").tolist() == ["a\0b"]


def test_the_hash_of_ids_is_that_of_the_set():
    assert ids_sha256(np.array(["b", "a"])) == ids_sha256(["a", "b"])
    assert len({ids_sha256(names) for names in (["a", "b"], ["ab"], ["a"], [], ['a", "b'])}) == 5


@settings(max_examples=60)
@given(
    st.lists(st.text("abé\U0001f600", max_size=4), max_size=12),
    st.lists(st.text("abé\U0001f600", max_size=5), max_size=12),
    st.booleans(),
)
def test_places_of_names_are_those_of_a_dictionary_even_where_their_numbers_are_one(
    names: list[str], asked: list[str], one_number: bool
):
    with pytest.MonkeyPatch.context() as patch:
        if one_number:
            patch.setattr(ids, "CHARACTERS", np.zeros_like(ids.CHARACTERS))
        unique = list(dict.fromkeys(names))
        places = Places(np.array(unique, dtype=np.str_))
        expected = [unique.index(name) if name in unique else -1 for name in asked]
        assert places.of(np.array(asked, dtype=np.str_)).tolist() == expected
        assert Places(np.array(names, dtype=np.str_)).repeated.tolist() == sorted(
            {n for n in names if names.count(n) > 1}
        )
        both = common(np.array(names, dtype=np.str_), np.array(asked, dtype=np.str_))
        assert both.tolist() == sorted(set(names) & set(asked))


def test_names_of_a_hundred_thousand_samples_have_numbers_of_their_own():
    names = np.char.add("img_", np.arange(100_000).astype(np.str_))
    assert len(np.unique(ids._keys(names))) == len(names)
    assert Places(names).of(names[::-7]).tolist() == list(range(99_999, -1, -7))
