"""A plain text, to learn to continue it character by character; plays are taken apart by their roles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64

from obliviate.data.formats.base import NO_TARGET, Arrays, Contents, Format, existing_file
from obliviate.data.formats.delimited import read_text, suffix
from obliviate.data.formats.description import Description
from obliviate.data.formats.tabular import held_out
from obliviate.data.owners import draw_note, inseparable
from obliviate.data.vocabulary import Vocabulary, padded
from obliviate.errors import DataError

NAME: Final = "input.txt"
PARAGRAPHS: Final = re.compile(r"\n[ \t]*\n\s*")
BETWEEN: Final = "\n\n"


def read(path: Path, seed: int) -> Contents:
    """Read a file of text, or `input.txt` of a folder; a tenth of the speeches or windows is the test part."""
    file = path if path.is_file() else existing_file(path, NAME)
    assert file is not None
    return text_contents(Description(path=file, kind="causal-lm", test_share=0.1), seed)


def text_contents(description: Description, seed: int) -> Contents:
    """Cut a text into windows of `length` characters and the one after them; no character is in two windows.

    In a play, each paragraph begins with a line "ROLE:"; the speeches of one role are put together, windows never hold
    two roles, and the test part consists of all speeches of some roles, or of some speeches where roles are few. A
    window's target at each place is the next character.
    """
    text = read_text(description.path)
    roles = has_roles(text) if description.roles is None else description.roles
    pieces: dict[str, list[tuple[str, str]]] = {}
    drawn: tuple[str, ...] = ()
    if description.test is not None:
        for part, content in (("train", text), ("test", read_text(description.test))):
            pieces[part] = speeches(content, description.path.name) if roles else [("", content)]
    else:
        size = description.length + 1
        units = speeches(text, description.path.name) if roles else [("", piece) for piece in _cut(text, size)]
        whose = np.array([role for role, _ in units]) if roles else None
        places = held_out(len(units), description.test_share, seed, owners=whose)
        if whose is not None:
            kept, held = (whose[some] for some in places)
            drawn = (draw_note("test", kept, held, inseparable(whose)),)
        pieces = {part: [units[i] for i in some] for part, some in zip(("train", "test"), places, strict=True)}
    vocabulary = Vocabulary.of([piece for _, piece in pieces["train"]], unit="character")
    arrays: Arrays = {}
    owners: dict[str, list[str]] = {}
    for part, units in pieces.items():
        between = BETWEEN if roles else ""
        rows = windows(units, length=description.length, between=between)
        if not rows:
            raise DataError(f"expected two characters or more in the {part} part of {description.path}, got fewer")
        owners[part] = [role for role, _ in rows]
        x, y = zip(*(_pair(vocabulary.numbers(window), description.length) for _, window in rows), strict=True)
        arrays |= {f"{part}_x": np.stack(x), f"{part}_y": np.stack(y)}
        if roles and part == "test":
            arrays["test_owner"] = np.array(owners[part], dtype=np.str_)
    return Contents(
        arrays,
        kind="causal-lm",
        classes=len(vocabulary),
        metadata={"role": np.array(owners["train"], dtype=np.str_)} if roles else {},
        owner="role" if roles else None,
        vocabulary=vocabulary,
        notes=(*_notes(pieces, roles=roles), *drawn),
    )


def has_roles(text: str) -> bool:
    """Whether every paragraph begins with a line that ends in a colon.

    >>> has_roles("ANN:\\nHello.\\n\\nBOB:\\nGood day.")
    True
    """
    return all(paragraph.partition("\n")[0].rstrip().endswith(":") for paragraph in _paragraphs(text))


def speeches(text: str, name: str = "the text") -> list[tuple[str, str]]:
    """Return role and words of every speech that has words.

    >>> speeches("ANN:\\nHello.\\n\\nBOB:\\n\\nANN:\\nWell\\nthen?")
    [('ANN', 'Hello.'), ('ANN', 'Well\\nthen?')]
    """
    pairs = []
    for paragraph in _paragraphs(text):
        first, _, words = paragraph.partition("\n")
        role = first.rstrip()
        if not role.endswith(":"):
            raise DataError(
                f'expected every paragraph of {name} to begin with a line "ROLE:", got {first[:60]!r}; correct it, or '
                "set roles = false"
            )
        if words.strip():
            pairs.append((role[:-1], words))
    return pairs


def windows(units: Sequence[tuple[str, str]], *, length: int, between: str) -> list[tuple[str, str]]:
    """Put together what is each owner's and cut it into pieces of `length` + 1 characters, the last one shorter.

    A last piece of one character has nothing to predict and is left out.

    >>> windows([("a", "12345"), ("b", "xyz"), ("a", "67")], length=3, between="/")
    [('a', '1234'), ('a', '5/67'), ('b', 'xyz')]
    """
    owned: dict[str, list[str]] = {}
    for owner, words in units:
        owned.setdefault(owner, []).append(words)
    pieces = [(owner, piece) for owner, some in owned.items() for piece in _cut(between.join(some), length + 1)]
    return [(owner, piece) for owner, piece in pieces if len(piece) > 1]


def _pair(numbers: Sequence[int], length: int) -> tuple[Int64[np.ndarray, " length"], Int64[np.ndarray, " length"]]:
    return padded(numbers[:-1], length), padded(numbers[1:], length, filler=NO_TARGET)


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _paragraphs(text: str) -> list[str]:
    return PARAGRAPHS.split(text.strip())


def _notes(pieces: dict[str, list[tuple[str, str]]], *, roles: bool) -> tuple[str, ...]:
    if not roles:
        return ()
    counts = [
        f"{len(units)} speeches of {len({role for role, _ in units})} roles in {part}" for part, units in pieces.items()
    ]
    return (", ".join(counts),)


PLAIN_TEXT = Format(
    name="plain text",
    looks_for="a plain text input.txt (or .gz, .xz)",
    recognises=lambda path: (path.is_file() and suffix(path) == ".txt") or existing_file(path, NAME) is not None,
    read=read,
)
