"""Whether a project is as it was written: its ledger, the model that serves, and every certificate and signature."""

# pyright: reportPrivateImportUsage=false
# securesystemslib.signer lists no exports, and documents these.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from obliviate._util.files import check_sha256
from obliviate.certificate import SigningKey, public_key, read
from obliviate.certificate import verify as verify_certificate
from obliviate.errors import LedgerError

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

    from obliviate.ledger.chain import Event
    from obliviate.project.project import Project


def verify(project: Project) -> dict[str, Any]:
    """Check a project from its first event to its last, and return what there is of it: see `Project.verify`.

    Raises LedgerError or CertificateError for the first thing that is not as it was written.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from obliviate.project.project import Project
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     verify(Project.create(Path(folder), source="digits"))["certificates"]
    0
    """
    head = project.ledger.verify()
    _check_pointer(project)
    signing = SigningKey.read(project.keys)
    keys = {key.keyid: key for key in map(public_key, [signing.public, *signing.retired])}
    hashes: dict[int, str] = {}
    certificates = 0
    for event in project.ledger.events():
        hashes[event.number] = event.sha256
        if event.kind == "done" and "certificate_sha256" in event.facts:
            _check_certificate(project, event, keys, hashes)
            certificates += 1
    return {"events": head.events, "sha256": head.sha256, "requests": head.requests, "certificates": certificates}


def _check_pointer(project: Project) -> None:
    """Refuse a pointer to another model than the ledger says serves, or to other weights."""
    served, serving = project.served, project.ledger.serving
    if (None if served is None else served.model) != (None if serving is None else serving.model):
        raise LedgerError(
            "expected the pointer to name the model that the ledger says serves, got another; run `obliviate work`"
        )


def _check_certificate(project: Project, event: Event, keys: Mapping[str, SSlibKey], hashes: Mapping[int, str]) -> None:
    """Refuse files that are not those that a request was done with, and a certificate of another key or history.

    `hashes` are those of the events up to `event`, by number.
    """
    if (signed := event.facts.get("model_signature_sha256")) is not None:
        signature = project.model_signature(event.facts["model"])
        check_sha256(signature, signed, remedy="restore it from a copy", error=LedgerError)
    path = project.certificate(int(event.request or 0))
    check_sha256(path, event.facts["certificate_sha256"], remedy="restore it from a copy", error=LedgerError)
    certificate = read(path)
    if certificate.key_id not in keys:
        raise LedgerError(
            f"expected a certificate by a key of this project in {path.name}, got another; restore keys/retired"
        )
    verify_certificate(path, key=keys[certificate.key_id])
    position = certificate.predicate["ledger"]
    if hashes.get(position["event"]) != position["sha256"]:
        raise LedgerError(
            f"expected {path.name} to tell of this ledger, got that of another history; the ledger was replaced"
        )
