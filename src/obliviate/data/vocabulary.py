"""The tokens of texts: the most frequent words, or every character."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Int64

from obliviate.errors import DataError

PAD: Final = 0
UNKNOWN: Final = 1
SPECIAL: Final = ("<pad>", "<unk>")
WORD: Final = re.compile(r"\w+(?:'\w+)*")

Unit = Literal["word", "character"]


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by their numbers: 0 is `<pad>`, which fills short texts, 1 is `<unk>`, which stands for any other token.

    Of unit "word", texts are lower-cased and cut into runs of letters and digits, which may hold apostrophes; other
    signs are left out.

    >>> vocabulary = Vocabulary.of(["To be, or not to be"], unit="word", size=4)
    >>> vocabulary.tokens
    ('<pad>', '<unk>', 'be', 'to')
    >>> vocabulary.encode("not to be", length=4).tolist()
    [1, 3, 2, 0]
    """

    tokens: tuple[str, ...]
    unit: Unit

    @classmethod
    def of(cls, texts: Iterable[str], *, unit: Unit, size: int | None = None) -> Vocabulary:
        """Take the most frequent tokens of these texts, `size` in all with the two special ones; ties by the alphabet.

        Without a size, every token is taken. Raises DataError for a size below 3.
        """
        if size is not None and size < len(SPECIAL) + 1:
            raise DataError(f"expected a vocabulary of 3 tokens or more, two of them special, got {size}; enlarge it")
        counts = Counter(token for text in texts for token in split(text, unit=unit))
        ordered = sorted(counts, key=lambda token: (-counts[token], token))
        most = None if size is None else size - len(SPECIAL)
        return cls(SPECIAL + tuple(ordered[:most]), unit)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def numbers(self, text: str) -> list[int]:
        """Return the number of every token of a text."""
        return [self._numbers.get(token, UNKNOWN) for token in split(text, unit=self.unit)]

    def encode(self, text: str, *, length: int) -> Int64[np.ndarray, " length"]:
        """Return the first `length` tokens of a text, padded."""
        return padded(self.numbers(text), length)

    def decode(self, numbers: Iterable[int] | Int64[np.ndarray, " n"]) -> str:
        """Return the text of these tokens, words with spaces between, without padding."""
        tokens = [self.tokens[number] for number in numbers if number != PAD]
        return (" " if self.unit == "word" else "").join(tokens)

    def to_dict(self) -> dict[str, Any]:
        """Describe the vocabulary in JSON values."""
        return {"unit": self.unit, "tokens": list(self.tokens)}


def split(text: str, *, unit: Unit) -> Sequence[str]:
    """Cut a text into tokens.

    >>> split("Don't 'panic'!", unit="word")
    ["don't", 'panic']
    """
    return WORD.findall(text.lower()) if unit == "word" else text


def padded(numbers: Sequence[int], length: int, *, filler: int = PAD) -> Int64[np.ndarray, " length"]:
    """Cut or fill a row of numbers to a length.

    >>> padded([5, 6], 3).tolist()
    [5, 6, 0]
    """
    row = np.full(length, filler, dtype=np.int64)
    row[: min(len(numbers), length)] = numbers[:length]
    return row
