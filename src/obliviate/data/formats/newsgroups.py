"""The 20 Newsgroups, by-date split: a file a message, in folders named after the groups, or an archive of these.

Source: Lang 1995, version "20news-bydate" of http://qwone.com/~jason/20Newsgroups. What `remove` names is taken out as
scikit-learn's `fetch_20newsgroups` documents it.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import Shaped

from obliviate.data.features import Targets
from obliviate.data.formats.base import Arrays, Contents, Format, damaged
from obliviate.data.formats.description import Description
from obliviate.data.formats.texts import encode
from obliviate.data.owners import NOBODY
from obliviate.errors import DataError

LARGEST: Final = 2**24  # bytes of a message: nobody writes as much, and an archive may say anything
FOLDERS: Final = {"train": "20news-bydate-train", "test": "20news-bydate-test"}
ARCHIVES: Final = ("20news-bydate.tar.xz", "20news-bydate.tar.gz", "20news-bydate.tar")
FROM: Final = re.compile(r"^From:(.*)$", re.MULTILINE | re.IGNORECASE)
ADDRESS: Final = re.compile(r"[^\s<>()\",;:]+@[^\s<>()\",;:]+")
QUOTED: Final = re.compile(r"(writes in|writes:|wrote:|says:|said:|^In article|^Quoted from|^\||^>)")


def read(path: Path, description: Description | None = None) -> Contents:
    """Read all messages: the group is the class, the address that a message is from its owner.

    Raises DataError where a part is missing, or the archive is damaged.
    """
    description = Description(path=path) if description is None else description
    by_part: dict[str, dict[str, str]] = {part: {} for part in FOLDERS}
    for part, name, content in _files(path):
        by_part[part][name] = _decoded(content)
    if empty := [FOLDERS[part] for part, messages in by_part.items() if not messages]:
        raise DataError(f"expected messages in {empty[0]} of {path}, got none; fetch the by-date version")
    parts = {part: dict(sorted(messages.items())) for part, messages in by_part.items()}
    classes = sorted({name.partition("/")[0] for name in parts["train"]})
    arrays: Arrays = {}
    for part, messages in parts.items():
        groups = [name.partition("/")[0] for name in messages]
        if unseen := sorted(set(groups) - set(classes)):
            raise DataError(f"expected groups of {FOLDERS['train']}, got {unseen[0]!r} in {path}; complete the data")
        arrays[f"{part}_y"] = np.array([classes.index(group) for group in groups])
        arrays[f"{part}_ids"] = np.array([f"{part}/{name}" for name in messages])
    texts = {
        part: [cleaned(message, description.remove) for message in messages.values()]
        for part, messages in parts.items()
    }
    vocabulary, tokens, notes = encode(texts, size=description.vocabulary_size, length=description.length)
    return Contents(
        arrays | {f"{part}_x": x for part, x in tokens.items()} | {"test_owner": _authors(parts["test"].values())},
        classes=len(classes),
        metadata={"author": _authors(parts["train"].values())},
        owner="author",
        vocabulary=vocabulary,
        targets=Targets(tuple(classes)),
        notes=notes,
    )


def _authors(messages: Iterable[str]) -> Shaped[np.ndarray, " _"]:
    return np.array([author(message) for message in messages], dtype=np.str_)


def author(message: str) -> str:
    """Return the address in the line "From:" of the headers, in small letters, or "" where there is none.

    >>> author("Subject: cars\\nFrom: Ann Lee <ANN@cs.example.edu>\\n\\nHello")
    'ann@cs.example.edu'
    """
    line = FROM.search(message.partition("\n\n")[0])
    address = None if line is None else ADDRESS.search(line[1])
    return NOBODY if address is None else address[0].lower()


def cleaned(message: str, remove: tuple[str, ...]) -> str:
    """Take out the headers (up to the first empty line), the signature after the last, and the lines that quote.

    >>> cleaned("From: me\\n\\nAnn writes:\\n> Really?\\nYes.\\n\\n--\\nBob", ("headers", "footers", "quotes"))
    'Yes.'
    """
    if "headers" in remove:
        message = message.partition("\n\n")[2]
    if "quotes" in remove:
        message = "\n".join(line for line in message.split("\n") if not QUOTED.search(line))
    if "footers" in remove:
        lines = message.strip().split("\n")
        breaks = [place for place, line in enumerate(lines) if not line.strip().strip("-")]
        message = "\n".join(lines[: breaks[-1]] if breaks and breaks[-1] > 0 else lines).rstrip("\n-")
    return message


def _files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Part, "group/number" and bytes of each message."""
    if path.is_dir() and (archive := _archive(path)) is not None:
        path = archive
    if path.is_dir():
        for part, name in FOLDERS.items():
            for file in (path / name).glob("*/*"):
                yield part, f"{file.parent.name}/{file.name}", file.read_bytes()
        return
    parts = {name: part for part, name in FOLDERS.items()}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                names = PurePosixPath(member.name).parts
                if member.size > LARGEST:
                    raise damaged(
                        path, wanted=f"messages of at most {LARGEST:,} bytes", got=f"{member.size:,} in {member.name}"
                    )
                if member.isfile() and len(names) >= 3 and names[-3] in parts:
                    content = archive.extractfile(member)
                    assert content is not None
                    yield parts[names[-3]], f"{names[-2]}/{names[-1]}", content.read()
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise damaged(path, wanted="an archive of messages", got=str(error).partition("\n")[0]) from error


def _decoded(content: bytes) -> str:
    """As UTF-8 where it is that, and as Latin-1 where it is not, like the messages as they were first published."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n")


def _archive(folder: Path) -> Path | None:
    return next((path for name in ARCHIVES if (path := folder / name).is_file()), None)


def is_archive(path: Path) -> bool:
    """Whether this is an archive of newsgroup messages, by its name."""
    return path.name in ARCHIVES


NEWSGROUPS = Format(
    name="20 Newsgroups",
    looks_for="20news-bydate.tar.xz (or .gz), or folders 20news-bydate-train and -test",
    recognises=lambda path: is_archive(path) or _archive(path) is not None or (path / FOLDERS["train"]).is_dir(),
    read=lambda path, _: read(path),
)
