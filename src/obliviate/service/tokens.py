"""Tokens: who may ask the service for what. Only their hashes are kept, in the project's folder of keys."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

from obliviate._util.files import read_sealed_json, write_sealed_json
from obliviate._util.locks import locked
from obliviate.errors import ProjectError

Scope = Literal["read", "submit", "admin"]
"""`read` sees how things stand, `submit` asks for something to be forgotten, `admin` does both and has tokens revoked
and what failed tried again."""
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
FILE: Final = "tokens.json"
FORMAT: Final = "obliviate.tokens/1"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
WRITTEN: Final = re.compile(r"obl_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Token:
    """A token without its text: a name, what it may, and when it was made and revoked, in seconds since 1970."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: float
    revoked: float | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it may do what needs a scope.

        >>> Token("0" * 16, "officer", ("read",), "", 0.0).may("submit")
        False
        """
        return self.revoked is None and (scope in self.scopes or "admin" in self.scopes)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a project, in a folder of keys.

    A text is 32 random bytes, so that a plain SHA-256 of it can be kept: there is nothing to guess.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tokens = Tokens(Path(folder))
    ...     text = tokens.create("officer", ["read"])
    ...     tokens.find(text).name, tokens.revoke("officer").name, tokens.find(text)
    ('officer', 'officer', None)
    """

    keys: Path

    @property
    def all(self) -> list[Token]:
        """Every token, also those that were revoked; raises ProjectError for a damaged file."""
        path = self.keys / FILE
        if not path.exists():
            return []
        values = read_sealed_json(path, FORMAT, remedy="remove it, and make new tokens", error=ProjectError)
        return [Token(**entry | {"scopes": tuple(entry["scopes"])}) for entry in values["tokens"]]

    @property
    def usable(self) -> list[Token]:
        """Those that were not revoked."""
        return [token for token in self.all if token.revoked is None]

    def create(self, name: str, scopes: Sequence[str]) -> str:
        """Make a token and return its text, which is kept nowhere.

        Raises ProjectError for a name that is in use, or is none, and for unknown scopes.
        """
        chosen = tuple[Scope, ...](scope for scope in SCOPES if scope in set(scopes))
        if not NAME.fullmatch(name):
            raise ProjectError(
                f"expected a name of letters, digits, dots and dashes, at most 64, got {name!r:.80}; choose another"
            )
        if not chosen or set(scopes) - set(SCOPES):
            raise ProjectError(
                f"expected scopes of {', '.join(SCOPES)}, got {', '.join(scopes) or 'none'}; name them with --scope"
            )
        id_, text = secrets.token_hex(8), secrets.token_urlsafe(32)
        written = f"obl_{id_}_{text}"
        with self._changing() as tokens:
            if any(token.name == name and token.revoked is None for token in tokens):
                raise ProjectError(
                    f"expected a new name, got {name!r}, which a token has; revoke it, or choose another"
                )
            tokens.append(Token(id_, name, chosen, _sha256(written), round(time.time(), 3)))
        return written

    def revoke(self, name: str) -> Token:
        """Have a token open nothing any more, from the next call on; raises ProjectError where none has the name."""
        with self._changing() as tokens:
            for place, token in enumerate(tokens):
                if token.name == name and token.revoked is None:
                    tokens[place] = replace(token, revoked=round(time.time(), 3))
                    return tokens[place]
            known = ", ".join(token.name for token in self.usable) or "none"
            raise ProjectError(f"expected the name of a token, got {name!r:.80}; those in use are: {known}")

    def find(self, text: str) -> Token | None:
        """The token with a text, if there is one that was not revoked."""
        match = WRITTEN.fullmatch(text)
        token = None if match is None else self.of_id(match[1])
        return token if token is not None and hmac.compare_digest(token.sha256, _sha256(text)) else None

    def of_id(self, id_: str) -> Token | None:
        """The token with an id, if there is one that was not revoked."""
        return next((token for token in self.usable if token.id == id_), None)

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """Tokens that are written back as a whole when this ends well; nobody else changes them meanwhile."""
        with locked(self.keys):
            tokens = self.all
            yield tokens
            write_sealed_json(self.keys / FILE, {"format": FORMAT, "tokens": [asdict(token) for token in tokens]})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
