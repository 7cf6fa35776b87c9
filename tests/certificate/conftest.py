"""A certificate of a file of weights, and the keys that it was signed by."""

from dataclasses import replace
from pathlib import Path

import pytest

from obliviate.certificate import Certificate, SigningKey, issue
from obliviate.certificate.statement import Asked, Figure, Judgement, Position, State, Statement


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of a few bytes, which a certificate knows by its hash alone."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(bytes(range(256)) * 4)
    return path


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "keys")


@pytest.fixture
def statement(weights: Path) -> Statement:
    from obliviate._util.files import sha256_of

    state = State("a" * 64, "b" * 64, 40, "c" * 64, {"obliviate": "0.1.0"})
    return Statement(
        file=weights.name,
        file_sha256=sha256_of(weights),
        request=Asked(7, "owners", "2026-11-28T00:00:00+00:00", ("d" * 64,), ("e" * 64,), {"asked": 1, "found": 1}),
        method="FineTune(epochs=3)",
        before=state,
        after=replace(state, trained_on=39),
        judgement=Judgement(
            "consistent with retraining", "No attack tells it.", False, 5.0, 4.5,
            (Figure("accuracy on forget samples", 71.0, 60.5, 80.0),), ("One seed.",), "f" * 64,
        ),
        ledger=Position(12, "0" * 64, "2026-11-28T01:00:00+00:00"),
        tried=({"method": "AMUN()", "verdict": "leaks"},),
    )  # fmt: skip


@pytest.fixture
def certificate(tmp_path: Path, statement: Statement, key: SigningKey) -> Path:
    path = tmp_path / "000007.json"
    issued = issue(path, statement, key)
    assert isinstance(issued, Certificate)
    return path
