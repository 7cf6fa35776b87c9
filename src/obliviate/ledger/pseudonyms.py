"""Pseudonyms: what a ledger calls samples, owners and keys, and texts that only the holder of the key can read.

Both go by one key, which is kept apart from the ledger. Whoever destroys it has made everything in the ledger
anonymous; what it proves, it still proves.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from obliviate.errors import ProjectError

BYTES = 32


@dataclass(frozen=True)
class Pseudonyms:
    """Names by the `key`, 32 bytes that nobody else knows.

    >>> pseudonyms = Pseudonyms(bytes(32))
    >>> pseudonyms.of("owner", "ann")[:12], pseudonyms.of("owner", "ann") == pseudonyms.of("sample", "ann")
    ('462846269101', False)
    >>> pseudonyms.unseal(pseudonyms.seal("where:city == 'Rome'"))
    "where:city == 'Rome'"
    """

    key: bytes = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Pseudonyms:
        """Read what `create` wrote; raises ProjectError where it is gone, or is no key."""
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except OSError as error:
            raise ProjectError(
                f"expected the key of the pseudonyms in {path}, got {error.strerror}; restore it. If it was destroyed, "
                "nobody can be found in this ledger any more: begin in a new folder"
            ) from error
        except ValueError as error:
            raise ProjectError(f"expected a key in {path}, got another text; restore it") from error
        if len(key) != BYTES:
            raise ProjectError(f"expected a key of {BYTES} bytes in {path}, got {len(key)}; restore it")
        return cls(key)

    @classmethod
    def create(cls, path: Path) -> Pseudonyms:
        """Make a key that only this user can read, or read the one that is there."""
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return cls.read(path)

    def of(self, kind: str, text: str) -> str:
        """The pseudonym of a text, 64 hexadecimal digits; texts of different kinds have different ones."""
        return hmac.new(self.key, f"{kind}\0{text}".encode(), hashlib.sha256).hexdigest()

    def of_all(self, kind: str, texts: Iterable[str]) -> str:
        """The pseudonym of a set of texts, in whatever order."""
        return self.of(kind, "\n".join(sorted(set(texts))))

    def seal(self, text: str) -> str:
        """Encrypt a text (AES-GCM)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        return base64.b64encode(nonce + AESGCM(self._sealing).encrypt(nonce, text.encode(), None)).decode()

    def unseal(self, sealed: str) -> str:
        """Decrypt what `seal` made; raises ProjectError for a text that was sealed by another key, or changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            content = base64.b64decode(sealed, validate=True)
            return AESGCM(self._sealing).decrypt(content[:12], content[12:], None).decode()
        except (InvalidTag, ValueError) as error:
            raise ProjectError(
                "expected a text sealed by the key of this project, got another; restore keys/pseudonyms.key"
            ) from error

    @property
    def _sealing(self) -> bytes:
        """A key for sealing alone, so that pseudonyms and sealed texts tell nothing of each other."""
        return hmac.new(self.key, b"sealing", hashlib.sha256).digest()
