"""Redis may forget everything at any moment: nothing is lost and no key's order is broken."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis as Client

from deploy.stack.redis import Redis
from services.common.bus import RedisBus
from services.common.database import Database
from tests.support.events import World, eventually

STREAM = "movecar:events:movecar"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client.from_url(redis_url) as client:
        yield client


async def test_what_was_flushed_comes_before_what_is_newer(redis_postgresql: World, client: Client) -> None:
    world = redis_postgresql
    node = world.node()
    await world.emit("case", 1, 2)
    await node.relay.publish_pending()
    await client.flushdb()
    await world.emit("case", 3)
    await node.relay.publish_pending()
    node.start()
    await world.wait_for_effects(3)
    assert await world.effects() == [1, 2, 3]


async def test_on_a_quiet_system_a_flush_is_noticed_too(redis_postgresql: World, client: Client) -> None:
    world = redis_postgresql
    node = world.node().start(consuming=False)
    await world.emit("case", 1)
    await eventually(lambda: _waiting(client))
    await client.flushdb()
    await eventually(lambda: _waiting(client))
    node.start(relaying=False)
    await world.wait_for_effects(1)


async def test_a_stream_that_is_lost_alone_is_filled_again(redis_postgresql: World, client: Client) -> None:
    world = redis_postgresql
    node = world.node().start(consuming=False)
    await world.emit("case", 1)
    await eventually(lambda: _waiting(client))
    await client.delete(STREAM)
    node.start(relaying=False)
    await world.wait_for_effects(1)


async def test_flushes_in_mid_run_lose_nothing_and_keep_the_order(
    redis_postgresql: World, client: Client
) -> None:
    world = redis_postgresql
    world.node().start()
    keys = [f"case{number}" for number in range(6)]

    async def live(key: str) -> None:
        for number in range(30):
            await world.emit(key, number)

    async def flush() -> None:
        for count in (20, 60, 100, 140):
            await world.wait_for_effects(count)
            await client.flushall()

    async with asyncio.TaskGroup() as group:
        group.create_task(flush())
        for key in keys:
            group.create_task(live(key))
    await world.wait_for_effects(180)
    for key in keys:
        assert await world.effects(key) == list(range(30))


async def test_a_long_backlog_is_put_back_in_order(redis_postgresql: World, client: Client) -> None:
    world = redis_postgresql
    node = world.node()
    for first in range(0, 1200, 300):
        await world.emit("case", *range(first, first + 300))
    while await node.relay.publish_pending():
        pass
    await client.flushdb()
    assert await node.relay.refill() == 1200
    assert await node.relay.refill() == 0  # whole again
    node.start()
    await world.wait_for_effects(1200)
    assert await world.effects() == list(range(1200))


async def test_redis_killed_for_a_while_delays_events_and_loses_none(
    postgres_url: str, tmp_path: Path, server_home: Path
) -> None:
    server = Redis(server_home / f"killed-{tmp_path.name}")
    server.start()
    try:
        database = Database(postgres_url)
        async with World(database, lambda _, instance: RedisBus(server.url(), instance)) as world:
            world.node().start()
            numbers = itertools.count()
            await world.emit("case", next(numbers))
            await world.wait_for_effects(1)
            await asyncio.to_thread(server.kill)
            for _ in range(10):  # the service goes on without it
                await world.emit("case", next(numbers))
            assert await world.effects() == [0]
            await asyncio.to_thread(server.start)
            await world.emit("case", next(numbers))
            await world.wait_for_effects(12)
            assert await world.effects() == list(range(12))
            assert await world.dead_letters() == []
    finally:
        server.stop()


async def _waiting(client: Client) -> bool:
    return bool(await client.xlen(STREAM))
