"""Keys that certificates are signed by: Ed25519, in PEM files."""

# pyright: reportPrivateImportUsage=false
# securesystemslib.signer lists no exports, and documents these.
from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from obliviate._util.files import write_atomically
from obliviate._util.imports import left_out
from obliviate.errors import CertificateError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

PRIVATE: Final = "signing.pem"
PUBLIC: Final = "signing.pub"
RETIRED: Final = "retired"


def _installed() -> None:
    missing = [name for name in ("cryptography", "rfc8785", "securesystemslib") if find_spec(name) is None]
    if missing:
        raise CertificateError(
            f"expected the packages that certificates need, got none of {', '.join(missing)}; install them: "
            "pip install 'obliviate[sign]'"
        )


def import_signers() -> None:
    """Import what signs and verifies, without the clients of cloud services that it loads where they are installed.

    They take longer than all else that the command line does to verify. For a process that does nothing else.
    Raises CertificateError where the packages are missing.
    """
    _installed()
    with left_out("azure", "boto3", "google.cloud", "hvac"):
        importlib.import_module("securesystemslib.signer")


def public_key(path: Path) -> SSlibKey:
    """Read a public key, in PEM; raises CertificateError where it is none, or of another kind than Ed25519."""
    _installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"expected a public key in {path}, got {error.strerror}; name the right file") from error
    except ValueError as error:
        raise CertificateError(
            f"expected a public key in {path}, got something else; name the .pub file that came with the certificate"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise CertificateError(f"expected an Ed25519 key in {path}, got another kind; name the right file")
    return SSlibKey.from_crypto(key)


@dataclass(frozen=True)
class SigningKey:
    """The key pair in a folder: `signing.pem`, which only its user can read, `signing.pub`, and retired public keys.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = SigningKey.create(Path(folder))
    ...     second = first.rotated()
    ...     first.id == SigningKey.create(Path(folder)).id, second.id == SigningKey.create(Path(folder)).id
    (False, True)
    """

    folder: Path
    id: str
    signer: CryptoSigner = field(repr=False, compare=False)

    @classmethod
    def create(cls, folder: Path) -> SigningKey:
        """Make a key pair, or read the one that is there; raises CertificateError for a file that is no key."""
        _installed()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / PRIVATE).exists():
            _write_new(folder)
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> SigningKey:
        """Read the key pair; raises CertificateError where there is none."""
        _installed()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from securesystemslib.signer import CryptoSigner

        try:
            private = load_pem_private_key((folder / PRIVATE).read_bytes(), None)
        except OSError as error:
            raise CertificateError(
                f"expected a key to sign by in {folder / PRIVATE}, got {error.strerror}; restore it, or make another "
                "with `obliviate init`"
            ) from error
        except (ValueError, TypeError) as error:
            raise CertificateError(f"expected a key without a password in {folder / PRIVATE}; restore it") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise CertificateError(f"expected an Ed25519 key in {folder / PRIVATE}, got another kind; restore it")
        signer = CryptoSigner(private)
        _write_public(folder, signer)
        return cls(folder, signer.public_key.keyid, signer)

    @property
    def public(self) -> Path:
        """Where the public key lies, for those who check certificates."""
        return self.folder / PUBLIC

    def rotated(self) -> SigningKey:
        """Make a new pair that signs from now on; the old public key stays in `retired`, the old private one goes.

        What the old one signed is checked by the old public key, as before.
        """
        retired = self.folder / RETIRED
        retired.mkdir(exist_ok=True)
        old = self.public.read_bytes()
        write_atomically(retired / f"{self.id[:16]}.pub", lambda temporary: temporary.write_bytes(old))
        _write_new(self.folder)
        return SigningKey.read(self.folder)

    @property
    def retired(self) -> list[Path]:
        """The public keys of before."""
        return sorted((self.folder / RETIRED).glob("*.pub"))


def _write_new(folder: Path) -> None:
    from securesystemslib.signer import CryptoSigner

    content = CryptoSigner.generate_ed25519().private_bytes

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(folder / PRIVATE, write)
    (folder / PRIVATE).chmod(0o600)


def _write_public(folder: Path, signer: CryptoSigner) -> None:
    """Have the public key beside the private one: a kill may have come between the two."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"]))
    content = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = folder / PUBLIC
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, lambda temporary: temporary.write_bytes(content))


def owner_only(folder: Path) -> None:
    """Make a folder that only its user can look into."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(folder, 0o700)  # noqa: PTH101 - what exists may have other rights
