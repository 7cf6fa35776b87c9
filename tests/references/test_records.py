"""The files of a model that was made, and what is known of it."""

import shutil
from pathlib import Path

import pytest

from obliviate._util.files import sha256_of
from obliviate.errors import AuditError
from obliviate.references.pool import ReferencePool
from obliviate.references.records import (
    check_weights,
    is_finished,
    logits_file,
    open_logits,
    read_record,
    record_file,
    weights_file,
)


@pytest.fixture
def folder(whole: ReferencePool, tmp_path: Path) -> Path:
    """A copy of the pool, to be spoilt."""
    return Path(shutil.copytree(whole.folder, tmp_path / whole.fingerprint))


def test_a_record_holds_the_hashes_of_the_files_beside_it(folder: Path) -> None:
    record = read_record(folder, "member", 2, folder.name)
    assert (record.member, record.begun_from) == (2, None)
    assert record.logits_sha256 == sha256_of(logits_file(folder, "member", 2))
    assert record.weights_sha256 == sha256_of(weights_file(folder, "member", 2))
    assert check_weights(folder, "member", 2, record.weights_sha256) == weights_file(folder, "member", 2)


def test_a_model_is_finished_when_its_record_and_its_outputs_are_there(folder: Path) -> None:
    assert is_finished(folder, "member", 3)
    assert not is_finished(folder, "member", 4)
    logits_file(folder, "member", 3).unlink()
    assert not is_finished(folder, "member", 3)


def test_the_record_of_another_model_is_refused(folder: Path) -> None:
    shutil.copy(record_file(folder, "member", 0), record_file(folder, "member", 1))
    with pytest.raises(AuditError, match=f"expected what is known of model 1 of {folder.name}, got that of 0 of"):
        read_record(folder, "member", 1, folder.name)


def test_damaged_weights_are_named_with_a_remedy(folder: Path) -> None:
    record = read_record(folder, "member", 0, folder.name)
    with weights_file(folder, "member", 0).open("ab") as file:
        file.write(b"more")
    with pytest.raises(AuditError, match=r"delete it and member-000.json beside it to train the reference again"):
        check_weights(folder, "member", 0, record.weights_sha256)


def test_outputs_are_opened_in_the_order_of_the_records(folder: Path, whole: ReferencePool) -> None:
    records = [read_record(folder, "member", member, folder.name) for member in (2, 0)]
    logits = open_logits(folder, "member", records, samples=len(whole.ids))
    assert (logits[0] == whole.logits[2]).all()
    assert (logits[1] == whole.logits[0]).all()
