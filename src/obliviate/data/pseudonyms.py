"""Names that tell nobody's: keyed hashes of ids and owners, which only who has the key can connect with people."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from obliviate.data.owners import NOBODY
from obliviate.data.owners import named as named_owners
from obliviate.data.rules import Chosen
from obliviate.data.samples import Samples
from obliviate.data.sources import Data
from obliviate.errors import DataError
from obliviate.types import Ids

ENVIRONMENT: Final = "OBLIVIATE_PSEUDONYMS"
MARK: Final = "p-"
DIGITS: Final = 24  # of the hash, 96 bits: no two names of a data set share them
LEAST_KEY: Final = 16  # bytes
KEY: Final = 32


def named_by_environment() -> Path | None:
    """The file of the key that the environment variable OBLIVIATE_PSEUDONYMS names, None where it names none."""
    return Path(name) if (name := os.environ.get(ENVIRONMENT)) else None


@dataclass(frozen=True)
class Key:
    """A secret, and what names become by it: HMAC-SHA-256, of ids and of owners apart.

    >>> key = Key(b"0123456789abcdef")
    >>> key.of("id", "anna") == key.of("id", "anna"), key.of("id", "anna") == key.of("owner", "anna")
    (True, False)
    """

    secret: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Key:
        """Read the file of a key, which only its owner may read.

        Raises DataError for one that is missing, that others may read too, or that holds no key.
        """
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="ascii").strip()
            secret = bytes.fromhex(text)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is none"
            raise DataError(
                f"expected a key for pseudonyms in {str(path)!r:.200}, got none ({reason}); name the file that "
                "`obliviate train --pseudonyms FILE` made"
            ) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise DataError(
                f"expected a key that only its owner may read, got mode {stat.S_IMODE(mode):o} of {path}; chmod 600 it"
            )
        if len(secret) < LEAST_KEY:
            raise DataError(f"expected a key of {LEAST_KEY} bytes or more in {path}, got {len(secret)}; make a new one")
        return cls(secret)

    @classmethod
    def create(cls, path: Path) -> Key:
        """Make a new key in a file of mode 0600, or read the one that is there; raises DataError where it cannot."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return cls.read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            raise DataError(
                f"expected to write a key for pseudonyms to {str(path)!r:.200}, got {reason}; name another file"
            ) from error
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY) + "\n")
        return cls.read(path)

    def of(self, what: str, name: str) -> str:
        """The pseudonym of a name; `what` it is a name of tells equal names of other things apart."""
        digest = hmac.new(self.secret, f"{what}\0{name}".encode(), hashlib.sha256).hexdigest()
        return f"{MARK}{digest[:DIGITS]}"

    @property
    def check(self) -> str:
        """What a folder remembers of the key, to tell another one: it says nothing of the key itself."""
        return self.of("key", "")


@dataclass(frozen=True, eq=False)
class Pseudonyms:
    """Data under their own names, and the same data under pseudonyms, which alone are written anywhere."""

    key: Key
    named: Data

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """The pseudonym of every id."""
        parts = (self.named.train, self.named.test, self.named.holdout)
        return {str(name): self.key.of("id", str(name)) for part in parts if part is not None for name in part.ids}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The pseudonym of every owner."""
        columns = list(self.named.owners.values())
        if self.named.owner is not None:
            columns.append(self.named.metadata[self.named.owner])
        names = {str(name) for column in columns for name in named_owners(column)}
        return {name: self.key.of("owner", name) for name in names if name != NOBODY}

    @cached_property
    def data(self) -> Data:
        """The data under pseudonyms; contents and hash are the same."""
        return _renamed(self.named, self.ids, self.owners)

    def unveiled(self, data: Data) -> Data:
        """A part of `data` under its own names, in memory, for what people ask by."""
        back = [{new: old for old, new in names.items()} for names in (self.ids, self.owners)]
        return _renamed(data, *back)

    def own(self, ids: Iterable[str] | Ids) -> Ids:
        """The own names of pseudonyms; other names stay as they are."""
        back = {new: old for old, new in self.ids.items()}
        return np.array([back.get(str(name), str(name)) for name in ids], dtype=np.str_)

    def veiled(self, chosen: Chosen, *, text: str) -> Chosen:
        """What was chosen under its own names, under pseudonyms, as was what it was asked by.

        `text` is how it was asked for: of rules that name classes or a share it stays, all others may name people.
        """
        hide = self.key.of
        kind, _, _ = text.partition(":")
        rule = chosen.rule if kind in {"random", "class", "ids"} else f"{kind} {hide('rule', chosen.rule)}"
        pseudonyms = {**self.owners, **self.ids}
        asked = [
            {
                **entry,
                "asked": pseudonyms.get(entry["asked"]) or hide("asked", entry["asked"]),
                "found": pseudonyms.get(entry["found"])
                or ("" if not entry["found"] else hide("asked", entry["found"])),
            }
            for entry in chosen.asked
        ]
        ids = [self.ids.get(str(name), str(name)) for name in chosen.ids]
        return replace(chosen, ids=ids, rule=rule, asked=asked)


def _renamed(data: Data, ids: Mapping[str, str], owners: Mapping[str, str]) -> Data:
    def part(samples: Samples | None) -> Samples | None:
        if samples is None:
            return None
        renamed = replace(samples, ids=np.array([ids[str(name)] for name in samples.ids], dtype=np.str_))
        if "inputs" in samples.__dict__:  # hashing reads everything: once is enough
            renamed.__dict__["inputs"] = samples.inputs
        return renamed

    def column(names: np.ndarray) -> np.ndarray:
        return np.array([owners.get(str(name), NOBODY) for name in named_owners(names)], dtype=np.str_)

    train, test, holdout = part(data.train), part(data.test), part(data.holdout)
    assert train is not None
    assert test is not None
    return replace(
        data,
        train=train,
        test=test,
        holdout=holdout,
        metadata={name: column(values) if name == data.owner else values for name, values in data.metadata.items()},
        owners={name: column(values) for name, values in data.owners.items()},
    )
