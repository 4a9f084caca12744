from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.outbound.recordings.desk import Desk, desk_at


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A collector on SQLite beside an empty spool."""
    async with desk_at(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}") as desk:
        yield desk
