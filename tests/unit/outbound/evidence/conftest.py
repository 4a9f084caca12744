from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.database import Database
from tests.support.tables import create_tables
from tests.unit.outbound.evidence.switch import Switch


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database with every table."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'evidence.sqlite3'}")
    await create_tables(database)
    yield database
    await database.close()


@pytest.fixture
def switch(tmp_path: Path) -> Switch:
    """A switch that has written nothing yet."""
    (tmp_path / "cdr-custom").mkdir()
    return Switch(tmp_path / "cdr-custom" / "movecar.csv")
