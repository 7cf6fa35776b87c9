from collections import Counter

import pytest

from obliviate.data.vocabulary import PAD, UNKNOWN, Vocabulary
from obliviate.errors import DataError

TEXTS = ["The 'cat' sat.", "the DOG sat!", "A cat, the dog & the hen"]


def test_words_are_taken_by_frequency_then_alphabet():
    counts = Counter({"the": 4, "cat": 2, "sat": 2, "dog": 2} | {"a": 1, "hen": 1})
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    whole = Vocabulary.of(TEXTS, unit="word")
    assert whole.tokens == ("<pad>", "<unk>", *expected)
    for size in (3, 5, 100):
        assert Vocabulary.of(TEXTS, unit="word", size=size).tokens == whole.tokens[:size]


def test_texts_are_numbered_cut_and_padded():
    vocabulary = Vocabulary.of(TEXTS, unit="word", size=4)
    assert vocabulary.tokens[2:] == ("the", "cat")
    assert vocabulary.numbers("The cat saw the hen") == [2, 3, UNKNOWN, 2, UNKNOWN]
    assert vocabulary.encode("The cat saw the hen", length=3).tolist() == [2, 3, UNKNOWN]
    assert vocabulary.encode("cat", length=3).tolist() == [3, PAD, PAD]
    assert vocabulary.encode("", length=2).tolist() == [PAD, PAD]


def test_characters_are_kept_as_they_are_and_come_back():
    vocabulary = Vocabulary.of(["Hello\nWorld "], unit="character")
    assert len(vocabulary) == 2 + len(set("Hello\nWorld "))
    assert vocabulary.decode(vocabulary.encode("World\nHello", length=20)) == "World\nHello"
    assert vocabulary.numbers("z") == [UNKNOWN]


def test_words_that_look_like_the_special_tokens_are_not_them():
    vocabulary = Vocabulary.of(["<pad> <unk>"], unit="word")
    assert PAD not in vocabulary.numbers("<pad> <unk>")
    assert UNKNOWN not in vocabulary.numbers("<pad> <unk>")


@pytest.mark.parametrize("size", [2, 0, -1])
def test_a_vocabulary_without_room_for_words_is_refused(size: int):
    with pytest.raises(DataError, match=r"^expected a vocabulary of 3 tokens or more, .*, got "):
        Vocabulary.of(TEXTS, unit="word", size=size)
