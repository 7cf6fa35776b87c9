"""A certificate is what was signed, byte for byte, or it is none."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from obliviate.certificate import SigningKey, issue, public_key, read, verify
from obliviate.certificate.statement import PREDICATE, STATEMENT, Statement
from obliviate.errors import CertificateError


def test_it_says_what_was_signed_about_these_weights(
    certificate: Path, key: SigningKey, weights: Path, statement: Statement
) -> None:
    checked = verify(certificate, key=key.public, weights=weights)
    assert checked.statement == statement.to_dict()
    assert checked.statement["_type"] == STATEMENT
    assert checked.statement["predicateType"] == PREDICATE
    assert checked.statement["subject"] == [{"name": weights.name, "digest": {"sha256": statement.file_sha256}}]
    assert checked == read(certificate)


def test_the_signature_is_one_that_others_can_check(certificate: Path, key: SigningKey) -> None:
    """By the definition of DSSE, with nothing of ours and nothing of its library."""
    import base64

    envelope = json.loads(certificate.read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public = load_pem_public_key(key.public.read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)


def test_the_same_statement_is_the_same_certificate(certificate: Path, key: SigningKey, statement: Statement) -> None:
    before = certificate.read_bytes()
    issue(certificate, statement, key)
    assert certificate.read_bytes() == before


def test_every_bit_of_it_matters(certificate: Path, key: SigningKey) -> None:
    content, public = certificate.read_bytes(), public_key(key.public)
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        certificate.write_bytes(flipped)
        with pytest.raises(CertificateError, match=r"^expected "):
            verify(certificate, key=public)
    for other in (content + b"\n", content[:-1], b" " + content, content[:100], b""):
        certificate.write_bytes(other)
        with pytest.raises(CertificateError, match=r"^expected a certificate in "):
            verify(certificate, key=key.public)


def test_every_bit_of_the_weights_matters(certificate: Path, key: SigningKey, weights: Path) -> None:
    content, random_ = weights.read_bytes(), random.Random(0)
    for place in random_.sample(range(8 * len(content)), 1000):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        weights.write_bytes(flipped)
        with pytest.raises(CertificateError, match=r"expected the weights with sha256 .+, got .+ in "):
            verify(certificate, key=key.public, weights=weights)
    weights.write_bytes(content)
    verify(certificate, key=key.public, weights=weights)


def test_a_statement_in_another_form_is_refused_though_it_is_signed(
    certificate: Path, key: SigningKey, statement: Statement
) -> None:
    import rfc8785
    from securesystemslib.dsse import Envelope

    values = statement.to_dict()
    for payload, expected in (
        (json.dumps(values, indent=1).encode(), "a statement in another form"),
        (
            rfc8785.dumps(values | {"predicateType": "https://example.org/x"}),
            "a statement of another kind",
        ),
        (rfc8785.dumps(values | {"subject": []}), "index out of range"),
        (b"[]", "list indices"),
    ):
        envelope = Envelope(payload, "application/vnd.in-toto+json", {})
        envelope.sign(key.signer)
        certificate.write_bytes(rfc8785.dumps(envelope.to_dict()) + b"\n")
        with pytest.raises(CertificateError, match=expected):
            verify(certificate, key=key.public)


def test_another_key_is_told_from_a_wrong_signature(certificate: Path, key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.create(tmp_path / "other")
    with pytest.raises(CertificateError, match=r"signed by the key .+ name the public key of that"):
        verify(certificate, key=other.public)
    old = key.public.read_bytes()
    new = key.rotated()
    (retired,) = new.retired
    assert retired.read_bytes() == old
    with pytest.raises(CertificateError, match="if the key was changed since"):
        verify(certificate, key=new.public)
    verify(certificate, key=retired)


def test_what_is_not_there_is_said(certificate: Path, key: SigningKey, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="No such file or directory; name the file"):
        verify(tmp_path / "none.json", key=key.public)
    with pytest.raises(CertificateError, match="expected weights in "):
        verify(certificate, key=key.public, weights=tmp_path / "none")
    with pytest.raises(CertificateError, match="expected a public key in "):
        verify(certificate, key=tmp_path / "none.pub")
    with pytest.raises(CertificateError, match="expected a public key in "):
        verify(certificate, key=certificate)


def test_it_is_checked_without_torch_and_without_a_ledger(certificate: Path, key: SigningKey, weights: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from obliviate.certificate import verify; "
        "verify(Path(sys.argv[1]), key=Path(sys.argv[2]), weights=Path(sys.argv[3])); "
        "assert not {'torch', 'numpy', 'sqlalchemy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, certificate, key.public, weights], check=True)
