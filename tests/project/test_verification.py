"""A project is as it was written, or it is said what is not: certificates of requests that a ledger tells of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obliviate._util.files import sha256_of, write_sealed_json
from obliviate.certificate import SigningKey, issue
from obliviate.certificate.statement import Asked, Judgement, Position, State, Statement
from obliviate.errors import LedgerError
from obliviate.project.project import SERVED, Project

STATE = State("a" * 64, "b" * 64, 40, "c" * 64, {"obliviate": "0.1.0"})
STATEMENT = Statement(
    file="model.safetensors",
    file_sha256="d" * 64,
    request=Asked(0, "ids", "2026-11-28T00:00:00+00:00", (), (), {"asked": 1, "found": 1}),
    method="FineTune(epochs=3)",
    before=STATE,
    after=replace(STATE, trained_on=39),
    judgement=Judgement("not audited", "", False, None, None, (), (), None),
    ledger=Position(0, "", "2026-11-28T01:00:00+00:00"),
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", source="digits")


def certified(project: Project, *, key: SigningKey | None = None, history: str | None = None) -> Path:
    """A certificate, by the project's key and of its history, or by another, which the ledger tells of."""
    project.ledger.record("judged")
    head = project.ledger.head
    position = Position(head.events, history or head.sha256, "2026-11-28T01:00:00+00:00")
    path = project.certificate(0)
    issue(path, replace(STATEMENT, ledger=position), key or SigningKey.read(project.keys))
    project.ledger.record("done", certificate_sha256=sha256_of(path))
    return path


def test_certificates_of_now_and_of_before_a_rotated_key_are_counted(project: Project) -> None:
    assert project.verify()["certificates"] == 0
    certified(project)
    assert project.verify()["certificates"] == 1
    project.rotate()
    checked = project.verify()
    assert (checked["certificates"], checked["sha256"]) == (1, project.ledger.head.sha256)


def changed(project: Project) -> None:
    path = certified(project)
    path.write_bytes(path.read_bytes() + b"\n")


def of_another_key(project: Project) -> None:
    certified(project, key=SigningKey.create(project.folder / "others"))


def of_another_history(project: Project) -> None:
    certified(project, history="0" * 64)


def served_without_the_ledger(project: Project) -> None:
    weights = project.folder / "model.safetensors"
    weights.touch()
    served = {
        "model": "0001",
        "file": weights.name,
        "file_sha256": sha256_of(weights),
        "weights_sha256": "",
        "batch": 0,
    }
    write_sealed_json(project.folder / "served.json", {"format": SERVED, **served})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (changed, "the file was damaged or replaced: restore it from a copy"),
        (of_another_key, "a certificate by a key of this project in 000000.json, got another; restore keys/retired"),
        (of_another_history, "000000.json to tell of this ledger, got that of another history"),
        (served_without_the_ledger, "the pointer to name the model that the ledger says serves, got another"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(
    project: Project, harm: Callable[[Project], None], words: str
) -> None:
    harm(project)
    with pytest.raises(LedgerError, match=words):
        project.verify()
