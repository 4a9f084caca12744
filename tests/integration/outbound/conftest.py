from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
