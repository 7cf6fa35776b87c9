"""The files of a model that was made: weights, outputs, and a record of their hashes, which is written last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from obliviate._util.files import check_sha256, read_sealed_json
from obliviate.errors import AuditError
from obliviate.references.logits import REMEDY, StoredLogits

FORMAT: Final = "obliviate.made/1"


def weights_file(folder: Path, kind: str, member: int) -> Path:
    """Where a model's weights are, if they are kept."""
    return folder / f"{kind}-{member:03d}.safetensors"


def logits_file(folder: Path, kind: str, member: int) -> Path:
    """Where a model's outputs are."""
    return folder / f"{kind}-{member:03d}.logits.safetensors"


def record_file(folder: Path, kind: str, member: int) -> Path:
    """Where the hashes of a model's files are; this file is written last."""
    return folder / f"{kind}-{member:03d}.json"


def is_finished(folder: Path, kind: str, member: int) -> bool:
    """Whether a model is done: its outputs are there, and the hashes that are written last."""
    return record_file(folder, kind, member).exists() and logits_file(folder, kind, member).exists()


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """What is known of a model that was made: of what it is, the seconds that it took, and the hashes of its files.

    `fingerprint` is that of the pool or the shadows, `member` its number there. `weights_sha256` is None where the
    weights were not kept, `begun_from` the hash of the weights that it was made from, None if it was trained afresh.
    `threads` and `torch` (its version) decide the last bits.
    """

    fingerprint: str
    member: int
    seconds: float
    logits_sha256: str
    weights_sha256: str | None
    begun_from: str | None
    threads: int
    torch: str


def read_record(folder: Path, kind: str, member: int, fingerprint: str) -> ModelRecord:
    """Read what is known of a model; raises AuditError for a damaged file, and for one of another model."""
    path = record_file(folder, kind, member)
    values = read_sealed_json(path, FORMAT, remedy=REMEDY, error=AuditError)
    try:
        record = ModelRecord(**{key: value for key, value in values.items() if key != "format"})
    except TypeError as error:
        raise AuditError(f"expected the fields of {FORMAT}, got others in {path} ({error}); {REMEDY}") from error
    if (record.fingerprint, record.member) != (fingerprint, member):
        raise AuditError(
            f"expected what is known of model {member} of {fingerprint}, got that of {record.member} of "
            f"{record.fingerprint} in {path}; {REMEDY}"
        )
    return record


def check_weights(folder: Path, kind: str, member: int, wanted: str | None) -> Path:
    """Say where a model's weights are, after checking them; raises AuditError for a damaged or missing file."""
    path = weights_file(folder, kind, member)
    remedy = f"delete it and {record_file(folder, kind, member).name} beside it to train the reference again"
    check_sha256(path, wanted or "none", remedy=remedy, error=AuditError)
    return path


def open_logits(folder: Path, kind: str, records: Sequence[ModelRecord], *, samples: int) -> StoredLogits:
    """Open the outputs of models; raises AuditError as `StoredLogits.open` does."""
    paths = [logits_file(folder, kind, record.member) for record in records]
    return StoredLogits.open(paths, [record.logits_sha256 for record in records], samples=samples)
