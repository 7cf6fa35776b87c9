"""A statement in a signed envelope (DSSE), and its check, byte for byte.

The format: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md. A certificate is written in one way only
(RFC 8785), so that no byte of it can change and it still be one.
"""

# pyright: reportPrivateImportUsage=false
# securesystemslib.signer lists no exports, and documents these.
from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from obliviate._util.files import sha256_of, write_atomically
from obliviate.certificate.keys import SigningKey, public_key
from obliviate.certificate.statement import PREDICATE, STATEMENT, Statement
from obliviate.errors import CertificateError

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

PAYLOAD: Final = "application/vnd.in-toto+json"
MOST_BYTES: Final = 2**28


@dataclass(frozen=True)
class Certificate:
    """What a certificate says, and the id of the key that signed it."""

    statement: Mapping[str, Any]
    key_id: str

    @property
    def predicate(self) -> Mapping[str, Any]:
        """The part that is ours."""
        return self.statement["predicate"]

    @property
    def weights_sha256(self) -> str:
        """The hash of the file of weights that it is about."""
        return self.statement["subject"][0]["digest"]["sha256"]


def issue(path: Path, statement: Statement, key: SigningKey) -> Certificate:
    """Sign a statement and write it to a file, which is there as a whole or not at all."""
    import rfc8785
    from securesystemslib.dsse import Envelope

    values = statement.to_dict()
    envelope = Envelope(rfc8785.dumps(values), PAYLOAD, {})
    envelope.sign(key.signer)
    content = rfc8785.dumps(envelope.to_dict()) + b"\n"
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return Certificate(values, key.id)


def read(path: Path) -> Certificate:
    """Read what a certificate says, unchecked; raises CertificateError for a file that is none."""
    certificate, _ = _read(path)
    return certificate


def verify(path: Path, *, key: Path | SSlibKey, weights: Path | None = None) -> Certificate:
    """Check a certificate by the public key of whoever issued it, and that it is about the file of these weights.

    Raises CertificateError for any byte that is not as it was signed, another key, and other weights.
    """
    known = public_key(key) if isinstance(key, Path) else key
    certificate, envelope = _read(path)
    if certificate.key_id != known.keyid:
        raise CertificateError(
            f"expected a certificate signed by the key {known.keyid[:16]}…, got one by {certificate.key_id[:16]}…; if "
            "the key was changed since, name the public key of that time (keys/retired)"
        )
    from securesystemslib.exceptions import UnverifiedSignatureError

    signature = envelope.signatures[known.keyid]
    try:
        known.verify_signature(signature, envelope.pae())
    except UnverifiedSignatureError as error:
        raise CertificateError(
            f"expected the signature of the key {known.keyid[:16]}… in {path}, got another; the certificate was "
            "changed, or was never signed by it"
        ) from error
    if weights is not None:
        try:
            digest = sha256_of(weights)
        except OSError as error:
            raise CertificateError(f"expected weights in {weights}, got {error.strerror}; name the file") from error
        if digest != certificate.weights_sha256:
            raise CertificateError(
                f"expected the weights with sha256 {certificate.weights_sha256[:16]}…, got {digest[:16]}… in {weights};"
                " they are another model's, or were changed since"
            )
    return certificate


def _read(path: Path) -> tuple[Certificate, Any]:
    import rfc8785
    from securesystemslib.dsse import Envelope

    problem = f"expected a certificate in {path}, got"
    remedy = "it was damaged or changed: ask for it again"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CertificateError(f"{problem} a file of more than {MOST_BYTES:,} bytes; name the right one")
        content = path.read_bytes()
        outer = json.loads(content)
        # Written in any other way it would be another file that says the same.
        if rfc8785.dumps(outer) + b"\n" != content or set(outer) != {"payload", "payloadType", "signatures"}:
            raise ValueError("JSON in another form")
        payload = base64.b64decode(outer["payload"], validate=True)
        (signature,) = outer["signatures"]
        texts = (outer["payload"], payload), (signature["sig"], base64.b64decode(signature["sig"], validate=True))
        if any(base64.b64encode(bytes_).decode() != text for text, bytes_ in texts) or set(signature) != {
            "keyid",
            "sig",
        }:
            raise ValueError("base64 in another form")
        statement = json.loads(payload)
        if rfc8785.dumps(statement) != payload:
            raise ValueError("a statement in another form")
        kinds = outer["payloadType"], statement["_type"], statement["predicateType"]
        if kinds != (PAYLOAD, STATEMENT, PREDICATE):
            raise ValueError(f"a statement of another kind, {kinds!r:.100}")
        certificate = Certificate(statement, signature["keyid"])
        _ = certificate.weights_sha256, certificate.predicate
        return certificate, Envelope.from_dict(outer)
    except CertificateError:
        raise
    except OSError as error:
        raise CertificateError(f"{problem} {error.strerror}; name the file") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError) as error:
        raise CertificateError(f"{problem} {str(error)[:200]}; {remedy}") from error
