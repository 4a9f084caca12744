"""Every table in an empty database, without making them one by one for each of a thousand tests."""

import functools
import tempfile
from pathlib import Path

from sqlalchemy import MetaData, create_engine

from services.common.database import Base, Database


async def create_tables(database: Database, metadata: MetaData = Base.metadata) -> None:
    """Create the tables of every imported model, or those of `metadata`.

    A SQLite file that is not there yet starts as a copy of one that has them; nothing else tells them apart.
    """
    if database.dialect == "sqlite" and _is_started(Path(database.engine.url.database or ""), metadata):
        return
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


def _is_started(file: Path, metadata: MetaData) -> bool:
    """Whether there was no such file, and now there is one with the tables."""
    if file.exists():
        return False
    file.write_bytes(_empty_file(metadata, len(metadata.tables)))
    return True


@functools.lru_cache
def _empty_file(metadata: MetaData, _: int) -> bytes:
    """Return a SQLite file with these tables; a module imported since may have brought more of them."""
    with tempfile.TemporaryDirectory(prefix="movecar-") as directory:
        file = Path(directory, "empty.sqlite3")
        engine = create_engine(f"sqlite:///{file}")
        metadata.create_all(engine)
        engine.dispose()
        return file.read_bytes()
