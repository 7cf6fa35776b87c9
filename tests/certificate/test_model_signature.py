"""Weights that are signed as OpenSSF Model Signing has it: what was signed is accepted, and nothing else is."""

import stat
from pathlib import Path

import pytest

from obliviate.certificate import model_signature
from obliviate.certificate.model_signature import ModelKey, verify_model
from obliviate.errors import CertificateError

needs_package = pytest.mark.skipif(
    any(model_signature.find_spec(name) is None for name in model_signature.PACKAGES),
    reason="pip install 'obliviate[model-signing]'",
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(bytes(range(256)) * 4)
    return path


@needs_package
def test_a_changed_byte_of_weights_or_signature_and_another_key_are_refused(weights: Path, tmp_path: Path) -> None:
    key, signature = ModelKey.create(tmp_path / "keys"), tmp_path / "weights.sig"
    key.sign(weights, signature)
    verify_model(weights, signature=signature, key=key.public)
    content, signed = weights.read_bytes(), signature.read_bytes()
    for place in (0, 511, len(content) - 1):
        weights.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CertificateError, match="as it was signed"):
            verify_model(weights, signature=signature, key=key.public)
    weights.write_bytes(content)
    middle = signed.index(b'"payload":"') + 40
    for place in (0, middle, len(signed) - 30):
        signature.write_bytes(signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :])
        with pytest.raises(CertificateError, match="as it was signed"):
            verify_model(weights, signature=signature, key=key.public)
    signature.write_bytes(signed)
    other = ModelKey.create(tmp_path / "others")
    with pytest.raises(CertificateError, match="as it was signed"):
        verify_model(weights, signature=signature, key=other.public)
    with pytest.raises(CertificateError, match="got no file"):
        verify_model(weights, signature=tmp_path / "none", key=key.public)


def test_the_private_key_is_its_users_alone_and_a_new_one_retires_the_old(tmp_path: Path) -> None:
    key = ModelKey.create(tmp_path / "keys")
    assert stat.S_IMODE(key.private.stat().st_mode) == 0o600
    old = key.public.read_bytes()
    key.public.unlink()  # as after a kill
    assert ModelKey.create(key.folder).public.read_bytes() == old
    assert key.rotated().public.read_bytes() != old
    (retired,) = (key.folder / "retired").iterdir()
    assert retired.read_bytes() == old
    key.private.write_text("no key")
    with pytest.raises(CertificateError, match="a key without a password"):
        ModelKey.create(key.folder)


def test_without_the_package_nothing_is_signed_and_the_extra_is_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ModelKey.create(tmp_path / "keys")
    monkeypatch.setattr(model_signature, "find_spec", lambda name: None)
    with pytest.raises(CertificateError, match=r"pip install 'obliviate\[model-signing\]'"):
        key.sign(weights, tmp_path / "weights.sig")
    assert not (tmp_path / "weights.sig").exists()
