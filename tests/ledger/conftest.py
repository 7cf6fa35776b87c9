"""A ledger in a file, and where one may be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_support import sample
from obliviate.ledger import Ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """Ten samples, s0 … s9, of which the even ones are ann's."""
    ledger = Ledger.create(url)
    ledger.index(
        [sample(f"s{place}", owner="ann" if place % 2 == 0 else "bob") for place in range(10)], data_sha256="d"
    )
    yield ledger
    ledger.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    """Where a ledger may be: in a file, and on a server."""
    return request.getfixturevalue({"sqlite": "url", "postgresql": "postgres"}[request.param])
