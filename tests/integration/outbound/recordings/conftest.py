from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.outbound.recordings.desk import Desk, desk_at


@pytest.fixture
async def desk(tmp_path: Path, postgres_url: str) -> AsyncIterator[Desk]:
    """A collector on PostgreSQL beside an empty spool."""
    async with desk_at(tmp_path, postgres_url) as desk:
        yield desk
