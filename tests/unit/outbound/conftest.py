from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.outbound.rig import Rig, rig_on, settings_for


@pytest.fixture
def database_url() -> str:
    """Where rigs that a test sets up itself keep their data: on SQLite, in the test's directory."""
    return ""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A caller on SQLite beside a sandbox PBX; its engine is not started."""
    async with rig_on(settings_for(tmp_path)) as rig:
        yield rig
