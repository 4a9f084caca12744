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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of this test alone, once of each make."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'registry.sqlite3'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """An empty local registry."""
    database = Database(database_url)
    tables = [Base.metadata.tables[model.__tablename__] for model in (RegistryGeneration, RegistryVehicle)]
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all, tables=tables)
    yield database
    await database.close()
