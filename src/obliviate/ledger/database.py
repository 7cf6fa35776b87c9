"""The database of a ledger: SQLite in a file, or PostgreSQL by its URL; transactions that are on the disk when over."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from obliviate.errors import LedgerError, UnavailableError

VERSION: Final = "0001"
"""The version of the tables that this package reads and writes: the newest of `migrations`."""
PATIENCE: Final = 60  # seconds that a writer waits for others


@dataclass(frozen=True, eq=False)
class Database:
    """Connections to one ledger; `path` is its file, None for a server's."""

    engine: Engine
    path: Path | None

    @classmethod
    def at(cls, url: str) -> Database:
        """Connect to "sqlite:///FILE" or "postgresql://…"; raises LedgerError for another kind, or a missing driver."""
        kind, _, rest = url.partition("://")
        try:
            if kind == "sqlite":
                path = Path(rest.removeprefix("/"))
                engine = create_engine(url, poolclass=QueuePool, connect_args={"timeout": PATIENCE})
                event.listen(engine, "connect", _prepare_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
                database = cls(engine, path)
                weakref.finalize(database, engine.dispose)  # whoever lets go of it without closing leaves no file open
                return database
            if kind.partition("+")[0] == "postgresql":
                return cls(create_engine(f"postgresql+psycopg://{rest}", poolclass=NullPool), None)
        except (ImportError, NoSuchModuleError) as error:
            raise LedgerError(
                f"expected a driver for {kind}, got none ({error}); install it: pip install 'obliviate[postgres]'"
            ) from error
        raise LedgerError(f"expected a ledger at sqlite:///FILE or postgresql://…, got {kind!r:.40}; correct the URL")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that changes nothing and sees one moment.

        Raises UnavailableError where the database cannot be reached, LedgerError where it is damaged.
        """
        with _explained(self), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is there as a whole, and on the disk, when this ends; or not at all.

        Raises UnavailableError where the database cannot do it now (its server is down, the disk is full, another
        writer does not end), LedgerError where it is damaged.
        """
        with _explained(self), self.engine.connect() as connection:
            with connection.execution_options(immediate=True).begin():
                yield connection
            self._flush()

    def _flush(self) -> None:
        """Have on the disk what SQLite has handed to the system.

        It would do so itself while it keeps other writers out; like this, one flush of the disk serves all who wait.
        """
        if self.path is None:
            return
        descriptor = os.open(f"{self.path}-wal", os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def create(self) -> None:
        """Make the tables, or bring them to the newest version; raises LedgerError for those of a newer package."""
        from obliviate.ledger.migrate import migrate

        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.writing() as connection:
            migrate(connection)

    def check_version(self) -> None:
        """Refuse tables of another version; raises LedgerError, also where there are none."""
        if self.path is not None and not self.path.is_file():
            raise LedgerError(f"expected a ledger, got no file {self.path}; make one with `obliviate init`")
        with self.reading() as connection:
            version = (
                connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
                if inspect(connection).has_table("alembic_version")
                else None
            )
        if version != VERSION:
            raise LedgerError(
                f"expected a ledger of version {VERSION}, got {version or 'another database'}; run `obliviate init` to "
                "bring an older one up to date, or install the package that wrote it"
            )

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver would
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer that began as a reader could not become one while others write.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def _explained(database: Database) -> Iterator[None]:
    """Say in our words what a database cannot do; nothing of it has come to be then."""
    place = database.path or database.engine.url.render_as_string(hide_password=True)
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise UnavailableError(
            f"expected to read and write the ledger {place}, got {reason}; nothing was changed: make room, start the "
            "server or wait for the other process, and run the same command again"
        ) from error
    except (DBAPIError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise LedgerError(
            f"expected the ledger {place} as it was written, got {reason}; it was damaged: restore it from a copy"
        ) from error
