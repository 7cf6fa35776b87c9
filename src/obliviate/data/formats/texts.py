"""From texts with labels to rows of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64

from obliviate.data.formats.base import Contents, Format, existing_file
from obliviate.data.formats.description import Description
from obliviate.data.formats.tabular import metadata_of, read_parts, targets_of
from obliviate.data.tables import Table
from obliviate.data.vocabulary import UNKNOWN, Vocabulary, padded
from obliviate.errors import DataError


def text_contents(train: Table, test: Table, description: Description) -> Contents:
    """Encode one column of texts by the words of the training rows, and the targets by the kind of the task."""
    assert description.text is not None
    if description.text in description.target:
        raise DataError(f"expected a target beside the texts, got {description.text!r} for both; correct `target`")
    texts = {part: table.column(description.text).tolist() for part, table in (("train", train), ("test", test))}
    arrays, targets = targets_of(train, test, description)
    vocabulary, tokens, notes = encode(texts, size=description.vocabulary_size, length=description.length)
    return Contents(
        arrays | {f"{part}_x": x for part, x in tokens.items()},
        kind=description.kind,
        classes=len(targets.names),
        metadata=metadata_of(train, description),
        cells=train.columns,
        owner=description.owner,
        vocabulary=vocabulary,
        targets=targets,
        notes=notes,
    )


def encode(
    texts: Mapping[str, Sequence[str]], *, size: int, length: int
) -> tuple[Vocabulary, dict[str, Int64[np.ndarray, "_ length"]], tuple[str, ...]]:
    """Return the vocabulary of the part "train", the tokens of every part, and notes on what was cut or empty.

    A text without words is one unknown word, so that every text has a token.

    >>> vocabulary, tokens, notes = encode({"train": ["a b a", ""], "test": ["a c"]}, size=4, length=2)
    >>> tokens["train"].tolist(), tokens["test"].tolist()
    ([[2, 3], [1, 0]], [[2, 1]])
    >>> notes[0]
    'train: 1 of 2 texts are cut to 2 tokens'
    """
    vocabulary = Vocabulary.of(texts["train"], unit="word", size=size)
    tokens, notes = {}, []
    for part, part_texts in texts.items():
        numbers = [vocabulary.numbers(text) for text in part_texts]
        tokens[part] = np.stack([padded(row or [UNKNOWN], length) for row in numbers])
        for count, treatment in (
            (sum(len(row) > length for row in numbers), f"are cut to {length} tokens"),
            (sum(not row for row in numbers), "are empty, and read as one unknown word"),
        ):
            if count:
                notes.append(f"{part}: {count} of {len(part_texts)} texts {treatment}")
    return vocabulary, tokens, tuple(notes)


SMS_NAMES: Final = ("SMSSpamCollection", "SMSSpamCollection.tsv")


def _sms(folder: Path, seed: int) -> Contents:
    """The SMS Spam Collection (Almeida and Hidalgo 2011, UCI, CC BY 4.0): a label and a message in every line."""
    path = next(path for name in SMS_NAMES if (path := existing_file(folder, name)) is not None)
    description = Description(
        path=path, columns=("label", "text"), delimiter="\t", target=("label",), text="text", length=64
    )
    train, test, _ = read_parts(description, seed)
    return text_contents(train, test, description)


SMS = Format(
    name="SMS Spam Collection",
    looks_for="SMSSpamCollection (or .tsv, .xz, .gz)",
    recognises=lambda path: any(existing_file(path, name) is not None for name in SMS_NAMES),
    read=_sms,
)
