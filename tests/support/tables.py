"""Every table in an empty database, without making them one by one for each of a thousand tests."""

import functools
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, create_engine, event

from services.common.database import Base, Database

_scripts: dict[tuple[MetaData, int], str] = {}
"""What makes the tables on PostgreSQL; a module imported since may have brought more of them."""


async def create_tables(database: Database, metadata: MetaData = Base.metadata) -> None:
    """Create the tables of every imported model, or those of `metadata`.

    A SQLite file that is not there yet starts as a copy of one that has them; an empty PostgreSQL database is
    sent all statements at once. Nothing else tells them from a database whose tables were made one by one.
    """
    known = (metadata, len(metadata.tables))
    if database.dialect == "sqlite" and _is_started(Path(database.engine.url.database or ""), *known):
        return
    if database.dialect == "postgresql" and known in _scripts and await _is_filled(database, _scripts[known]):
        return
    async with database.engine.begin() as connection:
        if said := await connection.run_sync(_create, metadata):
            _scripts[known] = said


def _create(connection: Connection, metadata: MetaData) -> str:
    """Create them one by one; return what was said, where there was none and it is PostgreSQL."""
    said: list[str] = []

    def hear(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith("SELECT"):
            said.append(statement)

    event.listen(connection, "before_cursor_execute", hear)
    metadata.create_all(connection)
    event.remove(connection, "before_cursor_execute", hear)
    whole = sum("CREATE TABLE" in statement for statement in said) == len(metadata.tables)
    return ";\n".join(said) if whole and connection.dialect.name == "postgresql" else ""


async def _is_filled(database: Database, script: str) -> bool:
    """Whether a PostgreSQL database was empty, and has the tables now."""
    async with database.engine.connect() as connection:
        link = (await connection.get_raw_connection()).driver_connection
        assert link is not None
        if await link.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"):
            return False
        await link.execute(script)
    return True


def _is_started(file: Path, metadata: MetaData, tables: int) -> bool:
    """Whether there was no such file, and now there is one with the tables."""
    if file.exists():
        return False
    file.write_bytes(_empty_file(metadata, tables))
    return True


@functools.lru_cache
def _empty_file(metadata: MetaData, _: int) -> bytes:
    """Return a SQLite file with these tables."""
    with tempfile.TemporaryDirectory(prefix="movecar-") as directory:
        file = Path(directory, "empty.sqlite3")
        engine = create_engine(f"sqlite:///{file}")
        metadata.create_all(engine)
        engine.dispose()
        return file.read_bytes()
