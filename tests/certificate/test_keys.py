"""Keys that only their user can read, and that a kill leaves whole."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from obliviate.certificate import SigningKey, public_key
from obliviate.errors import CertificateError


def test_a_key_is_made_once_and_only_its_user_reads_it(tmp_path: Path) -> None:
    key = SigningKey.create(tmp_path / "keys")
    assert (tmp_path / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert SigningKey.create(tmp_path / "keys").id == key.id
    assert public_key(key.public).keyid == key.id


def test_a_public_key_that_is_missing_or_another_is_written_again(tmp_path: Path) -> None:
    key = SigningKey.create(tmp_path / "keys")
    key.public.unlink()
    assert public_key(SigningKey.read(tmp_path / "keys").public).keyid == key.id


def test_rotating_keeps_every_public_key(tmp_path: Path) -> None:
    first = SigningKey.create(tmp_path / "keys")
    third = first.rotated().rotated()
    assert len({first.id, third.id, *(public_key(path).keyid for path in third.retired)}) == 3
    assert (tmp_path / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600


def test_other_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="expected a key to sign by"):
        SigningKey.read(tmp_path)
    (tmp_path / "signing.pem").write_bytes(b"no key")
    with pytest.raises(CertificateError, match="expected a key without a password"):
        SigningKey.read(tmp_path)
    other = generate_private_key(65537, 2048)
    (tmp_path / "signing.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "other.pub").write_bytes(
        other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(CertificateError, match="expected an Ed25519 key"):
        SigningKey.read(tmp_path)
    with pytest.raises(CertificateError, match="expected an Ed25519 key"):
        public_key(tmp_path / "other.pub")
