from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.database import Database
from tests.support.tables import create_tables
from tests.unit.outbound.evidence.switch import Switch
from tests.unit.outbound.rig import Rig, rig_on, settings_for


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Where rigs that a test sets up itself keep their data: on PostgreSQL."""
    return postgres_url


@pytest.fixture
async def rig(tmp_path: Path, postgres_url: str) -> AsyncIterator[Rig]:
    """A caller on PostgreSQL beside a sandbox PBX; its engine is not started."""
    async with rig_on(settings_for(tmp_path, database_url=postgres_url)) as rig:
        yield rig


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """An empty database on PostgreSQL with every table."""
    database = Database(postgres_url)
    await create_tables(database)
    yield database
    await database.close()


@pytest.fixture
def switch(tmp_path: Path) -> Switch:
    """A switch that has written nothing yet."""
    (tmp_path / "cdr-custom").mkdir()
    return Switch(tmp_path / "cdr-custom" / "movecar.csv")
