"""A database that is away while events are handled is waited for: nothing is poison because of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from deploy.stack.postgres import Postgres
from services.common.bus import Bus, LocalBus, RedisBus
from services.common.database import Database
from services.common.events import AttemptChanged
from tests.support.events import World, eventually, take_effect


@pytest.fixture
def postgres(server_home: Path, tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(server_home / f"outage-{tmp_path.name}", durable=False)
    server.start()
    server.ensure_database()
    yield server
    server.stop()


@pytest.mark.parametrize("kind", ["local", "redis"])
async def test_killed_in_the_middle_of_handlers(kind: str, postgres: Postgres, redis_url: str) -> None:
    def make_bus(database: Database, instance: str) -> Bus:
        return LocalBus(database) if kind == "local" else RedisBus(redis_url, instance)

    in_hand = asyncio.Event()
    killed = asyncio.Event()

    async def handle(session: AsyncSession, handled: AttemptChanged) -> None:
        if handled.version == 5 and not killed.is_set():
            in_hand.set()
            await killed.wait()
        await take_effect(session, handled)

    async with World(Database(postgres.url()), make_bus) as world:
        world.node(handle).start()
        for number in range(10):
            await world.emit("case", number)
        async with asyncio.timeout(60):
            await in_hand.wait()
        await asyncio.to_thread(postgres.kill)
        killed.set()
        await asyncio.to_thread(postgres.start)
        await eventually(_answers(world))
        await world.emit("case", 10)
        await world.wait_for_effects(11)
        assert await world.effects() == list(range(11))
        assert await world.dead_letters() == []


def _answers(world: World) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            await world.database.ping()
        except Exception:
            return False
        return True

    return answers
