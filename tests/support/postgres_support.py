"""A PostgreSQL server that the tests start, and databases on it; fixtures for the tests of whatever has a ledger."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["postgres", "server", "server_program"]


def _as_postgres(*command: str) -> None:
    """Run a program of PostgreSQL, which refuses to run for the superuser of the machine."""
    user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
    done = subprocess.run(command, capture_output=True, text=True, check=False, user=user, cwd="/")
    assert done.returncode == 0, f"{command}: {done.stderr}"


def server_program(url: str, command: str) -> None:
    """Stop or start the server of a database of the tests, which goes by "immediate" as if the machine had failed."""
    data = Path(url.partition("host=")[2]) / "data"
    pg_ctl = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1] / "pg_ctl"
    how = (
        ("-m", "immediate", "stop")
        if command == "stop"
        else ("-l", str(data.parent / "log"), "-o", _options(data.parent), "start")
    )
    _as_postgres(str(pg_ctl), "-D", str(data), "-w", *how)


def _options(folder: Path) -> str:
    return f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=60"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database; on a socket in a folder, so that no port is in use."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "").parent]
    initdb, pg_ctl = (programs[-1] / name for name in ("initdb", "pg_ctl"))
    assert initdb.is_file(), "expected PostgreSQL for the tests of the ledger, got none; apt-get install postgresql"
    # Not in pytest's own folder, which other runs close to other users.
    folder = Path(tempfile.mkdtemp(prefix="obliviate-postgres-"))
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    data = folder / "data"
    _as_postgres(str(initdb), "--no-sync", "-A", "trust", "-U", "obliviate", "-D", str(data))
    _as_postgres(str(pg_ctl), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", _options(folder), "start")
    yield f"postgresql://obliviate@/{{}}?host={folder}"
    _as_postgres(str(pg_ctl), "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def postgres(server: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    name = f"ledger_{abs(hash(request.node.nodeid))}"
    address = server.format("postgres").replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
    engine.dispose()
    return server.format(name)
