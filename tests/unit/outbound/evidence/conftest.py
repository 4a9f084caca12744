from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.database import Base, Database
from tests.unit.outbound.evidence.switch import Switch


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database with every table."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'evidence.sqlite3'}")
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
def switch(tmp_path: Path) -> Switch:
    """A switch that has written nothing yet."""
    (tmp_path / "cdr-custom").mkdir()
    return Switch(tmp_path / "cdr-custom" / "movecar.csv")
