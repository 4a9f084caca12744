"""Bringing a database to the tables this version needs, and saying so when it is not there yet."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from services.common.database import Database

_DIRECTORY = Path(__file__).parents[2] / "migrations"
_LOCK = 0x6D6F7665  # one upgrade at a time, whichever process starts first


class SchemaOutdated(Exception):
    """The database has not the tables this version needs; the message says how to get them."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_DIRECTORY))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the revision this version needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise SchemaOutdated("no migrations found")
    return revision


async def upgrade(database: Database, revision: str = "head") -> None:
    """Create or change the tables up to a revision."""
    await _run(database, command.upgrade, revision)


async def downgrade(database: Database, revision: str) -> None:
    """Undo migrations down to a revision (`base` removes all tables and their data)."""
    await _run(database, command.downgrade, revision)


async def _run(database: Database, action: Any, revision: str) -> None:
    def migrate(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        action(_config(connection), revision)

    async with database.engine.begin() as connection:
        await connection.run_sync(migrate)


async def current(database: Database) -> str | None:
    """Return the revision a database is at; None for an empty one."""

    def read(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.engine.connect() as connection:
        return await connection.run_sync(read)


async def require_current(database: Database) -> None:
    """Raise SchemaOutdated unless the database is at this version's revision."""
    found, needed = await current(database), head()
    if found != needed:
        raise SchemaOutdated(
            f"the database is at revision {found or 'none'}, this version needs {needed}: "
            "run  python -m services migrate"
        )
