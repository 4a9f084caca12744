"""The in-process bus on SQLite keeps the contract; the other pairs are in tests/integration/bus."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.bus import LocalBus
from services.common.database import Database
from tests.contract.bus import BusContract
from tests.support.events import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}")
    async with World(database, lambda database, _: LocalBus(database)) as world:
        yield world


class TestLocalBusOnSqlite(BusContract):
    pass
