from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.clock import ManualClock
from services.common.crypto import Keys
from services.common.database import Base, Database
from services.movecar.registry.models import RegistryGeneration, RegistryVehicle


@pytest.fixture
def keys() -> Keys:
    return Keys.from_secret("a root secret that is long enough for the tests")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty local registry on SQLite."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'registry.sqlite3'}")
    tables = [Base.metadata.tables[model.__tablename__] for model in (RegistryGeneration, RegistryVehicle)]
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all, tables=tables)
    yield database
    await database.close()
