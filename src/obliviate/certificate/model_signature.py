"""Weights signed as OpenSSF Model Signing has it, for readers who check models by that: `model_signing verify key`.

The format: https://github.com/ossf/model-signing-spec. It knows no Ed25519, so that its key is one of its own: ECDSA by
the curve P-256. Nothing is asked of a network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from obliviate._util.files import write_atomically
from obliviate.certificate.keys import RETIRED
from obliviate.errors import CertificateError

PRIVATE: Final = "models.pem"
PUBLIC: Final = "models.pub"
PACKAGES: Final = ("model_signing", "OpenSSL")  # the second is imported by the first, which does not ask for it


def check_installed() -> None:
    """Raise CertificateError where the packages are not there that sign and check weights."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise CertificateError(
            f"expected the packages that sign models, got none of {', '.join(missing)}; install them: "
            "pip install 'obliviate[model-signing]'"
        )


@dataclass(frozen=True)
class ModelKey:
    """The key pair in a folder by which weights are signed: `models.pem`, which only its user can read, `models.pub`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     key = ModelKey.create(Path(folder))
    ...     key.public.read_text().splitlines()[0], key == ModelKey.create(Path(folder))
    ('-----BEGIN PUBLIC KEY-----', True)
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> ModelKey:
        """Make a key pair, or read the one that is there; raises CertificateError for a file that is none."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = cls(folder)
        if not key.private.exists():
            content = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            write_atomically(key.private, lambda temporary: temporary.write_bytes(content))
            key.private.chmod(0o600)
        key._write_public()
        return key

    @property
    def private(self) -> Path:
        """Where the private key lies."""
        return self.folder / PRIVATE

    @property
    def public(self) -> Path:
        """Where the public key lies, for those who check weights."""
        return self.folder / PUBLIC

    def _write_public(self) -> None:
        """Have the public key beside the private one: a kill may have come between the two."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        try:
            private = load_pem_private_key(self.private.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise CertificateError(f"expected a key without a password in {self.private}; restore it") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise CertificateError(f"expected a key of an elliptic curve in {self.private}, got another; restore it")
        content = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if not self.public.exists() or self.public.read_bytes() != content:
            write_atomically(self.public, lambda temporary: temporary.write_bytes(content))

    def rotated(self) -> ModelKey:
        """Make a new pair that signs from now on; the old public key stays in `retired`, the old private one goes."""
        retired = self.folder / RETIRED
        retired.mkdir(exist_ok=True)
        old = self.public.read_bytes()
        name = f"models-{hashlib.sha256(old).hexdigest()[:16]}.pem"
        write_atomically(retired / name, lambda temporary: temporary.write_bytes(old))
        self.private.unlink()
        return ModelKey.create(self.folder)

    def sign(self, weights: Path, signature: Path) -> None:
        """Sign a file of weights; the signature is there as a whole or not at all."""
        check_installed()
        from model_signing.signing import Config

        config = Config().use_elliptic_key_signer(private_key=self.private)
        write_atomically(signature, lambda temporary: config.sign(weights, temporary))


def verify_model(weights: Path, *, signature: Path, key: Path) -> None:
    """Check that a file of weights is the one that was signed, by the public key of whoever signed it.

    Raises CertificateError for any byte of the weights that is not as it was signed, a signature that was changed, and
    another key.
    """
    check_installed()
    for path, what in ((weights, "weights"), (signature, "a signature of weights"), (key, "a public key")):
        if not path.is_file():
            raise CertificateError(f"expected {what} in {path}, got no file; name the right one")
    from cryptography.exceptions import InvalidSignature
    from model_signing.verifying import Config

    try:
        Config().use_elliptic_key_verifier(public_key=key).verify(weights, signature)
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).partition(":")[0][:100] or type(error).__name__
        raise CertificateError(
            f"expected {weights} as it was signed by the key in {key}, got another file, signature or key ({reason}); "
            "one of them was changed, or does not belong to the others"
        ) from error
