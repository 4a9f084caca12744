"""A running service on a SQLite file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.escalation.harness import Desk, serving, settings_for


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'escalation.sqlite3'}"


@pytest.fixture
async def desk(sqlite_url: str) -> AsyncIterator[Desk]:
    async with serving(settings_for(sqlite_url)) as running:
        yield running
