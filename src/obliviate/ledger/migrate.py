"""Bring the tables of a ledger to the newest version, by the steps in `migrations`."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from obliviate.errors import LedgerError
from obliviate.ledger.tables import METADATA


def migrate(connection: Connection) -> None:
    """Take every step that this database has not taken yet; raises LedgerError for one of a newer package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    try:
        with EnvironmentContext(
            config, script, fn=lambda revision, _: script._upgrade_revs("head", revision)
        ) as environment:
            environment.configure(connection=connection, target_metadata=METADATA)
            environment.run_migrations()
    except CommandError as error:
        raise LedgerError(
            f"expected a ledger of this version or before, got one that it does not know ({error}); install the "
            "package that wrote it"
        ) from error
