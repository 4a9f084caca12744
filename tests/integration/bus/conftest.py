"""Each pair of bus and database; the in-process bus on SQLite is in tests/unit/common/bus."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common.bus import Bus, LocalBus, RedisBus
from services.common.database import Database
from tests.support.events import World

LEASE_SECONDS = 0.6
"""How long a dead instance holds up the others in these tests."""


@pytest.fixture
def make_redis_bus(redis_url: str) -> Callable[[Database, str], Bus]:
    return lambda _, instance: RedisBus(redis_url, instance, lease_seconds=LEASE_SECONDS)


@pytest.fixture
async def local_postgresql(postgres_url: str) -> AsyncIterator[World]:
    async with World(Database(postgres_url), lambda database, _: LocalBus(database)) as world:
        yield world


@pytest.fixture
async def redis_sqlite(
    tmp_path: Path, make_redis_bus: Callable[[Database, str], Bus]
) -> AsyncIterator[World]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}")
    async with World(database, make_redis_bus) as world:
        yield world


@pytest.fixture
async def redis_postgresql(
    postgres_url: str, make_redis_bus: Callable[[Database, str], Bus]
) -> AsyncIterator[World]:
    async with World(Database(postgres_url), make_redis_bus) as world:
        yield world
