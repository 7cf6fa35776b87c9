"""Sessions of the dashboard: a signed cookie that names a token by its id, and what forms vouch for themselves by."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from obliviate._util.locks import locked
from obliviate.errors import ProjectError

FILE: Final = "sessions.key"
COOKIE: Final = "obliviate"
HOURS: Final = 12
SHAPE: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{10,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Session:
    """Who is signed in, by the id of the token; `csrf` is what forms of this session hold."""

    token: str
    csrf: str


@dataclass(frozen=True)
class Sessions:
    """Sessions that are signed by a key; nothing of them is kept.

    A session ends after twelve hours, when its token is revoked, or with the key.

    >>> sessions = Sessions(bytes(32), clock=lambda: 1_000_000_000.0)
    >>> cookie = sessions.begin("0" * 16)
    >>> sessions.read(cookie).token, sessions.read(cookie[:-1] + "x"), len(sessions.read(cookie).csrf)
    ('0000000000000000', None, 64)
    """

    key: bytes = field(repr=False)
    clock: Callable[[], float] = time.time

    @classmethod
    def at(cls, keys: Path) -> Sessions:
        """Sessions by the key in a folder, which is made where it is not there."""
        path = keys / FILE
        with locked(keys):  # a second service reads the whole key of the first
            if not path.exists():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(secrets.token_hex(32) + "\n")
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except ValueError as error:
            raise ProjectError(f"expected a key of sessions in {path}, got another text; remove it") from error
        if len(key) != 32:
            raise ProjectError(f"expected a key of 32 bytes in {path}, got {len(key)}; remove it")
        return cls(key)

    def begin(self, token: str) -> str:
        """A cookie for who has a token."""
        content = f"{token}.{int(self.clock()) + HOURS * 3600}.{secrets.token_hex(16)}"
        return f"{content}.{self._sign('session', content)}"

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it was not made here, or has ended."""
        match = SHAPE.fullmatch(cookie)
        if match is None or int(match[2]) < self.clock():
            return None
        content = cookie.rpartition(".")[0]
        if not hmac.compare_digest(match[4], self._sign("session", content)):
            return None
        return Session(match[1], self._sign("form", content))

    def _sign(self, what: str, content: str) -> str:
        return hmac.new(self.key, f"{what}\0{content}".encode(), hashlib.sha256).hexdigest()
