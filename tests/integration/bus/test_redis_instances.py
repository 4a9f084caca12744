"""Instances of one service: one reads, and when it dies another takes over all it had in hand."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis as Client
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Bus, RedisBus
from services.common.events import AttemptChanged
from tests.support.events import Handle, Node, World, eventually, take_effect

FOR_EVER = 3600.0


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client.from_url(redis_url) as client:
        yield client


@pytest.fixture
def long_lease(redis_url: str) -> Callable[[Bus], Bus]:
    """Put a bus whose instance holds its lease for ever in place of another."""

    def replace(bus: Bus) -> Bus:
        return RedisBus(redis_url, "1", lease_seconds=FOR_EVER)

    return replace


async def _die_with_events_in_hand(world: World, node_of: Callable[[Handle], Node]) -> None:
    stuck = asyncio.Event()

    async def hang(session: AsyncSession, handled: AttemptChanged) -> None:
        stuck.set()
        await asyncio.Event().wait()

    node = node_of(hang).start()
    await world.emit("case", 1, 2)
    async with asyncio.timeout(60):
        await stuck.wait()
    await node.crash()


async def test_a_dead_instances_events_are_taken_over_before_newer_ones(redis_postgresql: World) -> None:
    world = redis_postgresql
    await _die_with_events_in_hand(world, lambda hang: world.node(hang, instance="1"))
    await world.emit("case", 3)
    world.node(instance="2").start()
    await world.wait_for_effects(3)
    assert await world.effects() == [1, 2, 3]


async def test_a_restart_under_the_same_name_carries_on_at_once(
    redis_postgresql: World, long_lease: Callable[[Bus], Bus]
) -> None:
    world = redis_postgresql
    await _die_with_events_in_hand(world, lambda hang: world.node(hang, around=long_lease))
    await world.emit("case", 3)
    world.node(around=long_lease).start()
    await world.wait_for_effects(3)
    assert await world.effects() == [1, 2, 3]


async def test_an_instance_that_is_stopped_leaves_its_place_at_once(
    redis_postgresql: World, long_lease: Callable[[Bus], Bus]
) -> None:
    world = redis_postgresql
    leaving = world.node(around=long_lease).start()
    await world.emit("case", 1)
    await world.wait_for_effects(1)
    await leaving.crash()
    await leaving.bus.close()
    await world.emit("case", 2)
    world.node(instance="2").start()
    await world.wait_for_effects(2)


async def test_while_one_instance_reads_another_gets_nothing(
    redis_postgresql: World, long_lease: Callable[[Bus], Bus]
) -> None:
    world = redis_postgresql
    world.node(around=long_lease).start()
    await world.emit("case", 1)
    await world.wait_for_effects(1)
    other = world.node(instance="2")
    await world.emit("case", 2)
    assert await other.bus.next_batch("movecar", 10) == []


async def test_an_instance_frozen_past_its_lease_does_no_harm_when_it_wakes(redis_postgresql: World) -> None:
    world = redis_postgresql
    hung, thaw = asyncio.Event(), asyncio.Event()

    async def freeze(session: AsyncSession, handled: AttemptChanged) -> None:
        hung.set()
        await thaw.wait()
        await take_effect(session, handled)

    frozen = world.node(freeze, instance="1")
    other = world.node(instance="2")
    await world.emit("case", 1)
    await frozen.relay.publish_pending()
    entries = []

    async def arrived() -> bool:
        entries.extend(await frozen.bus.next_batch("movecar", 10))
        return bool(entries)

    await eventually(arrived)  # in hand, no transaction begun yet
    other.start()
    await world.emit("case", 2)
    await world.wait_for_effects(2)
    thaw.set()
    await frozen.consumer.handle(entries)
    assert not hung.is_set()
    assert await world.effects() == [1, 2]


@pytest.mark.parametrize(
    "fields",
    [
        {"hello": "world"},  # somebody tried redis-cli
        {"id": "x", "type": "attempt.changed.v1", "position": "1", "payload": "{"},  # cut short
        {"id": "x", "type": "attempt.changed.v1", "position": "one", "payload": "{}"},
        {"id": "x", "type": "attempt.changed.v1", "position": "1", "payload": "[1]"},
        {"id": b"\xff", "type": "attempt.changed.v1", "position": "1", "payload": "{}"},
    ],
)
async def test_what_is_no_entry_is_dropped_and_the_rest_goes_on(
    redis_postgresql: World, client: Client, fields: dict[str, str | bytes]
) -> None:
    world = redis_postgresql
    node = world.node().start()
    await world.emit("case", 1)
    await world.wait_for_effects(1)
    await client.xadd("movecar:events:movecar", dict(fields.items()))
    await world.emit("case", 2)
    await world.wait_for_effects(2)

    async def empty() -> bool:
        return await client.xlen("movecar:events:movecar") == 0

    await eventually(empty)
    await node.crash()
    assert await world.dead_letters() == []
    assert (await client.xpending("movecar:events:movecar", "service"))["pending"] == 0


def test_making_a_bus_connects_to_nothing() -> None:
    RedisBus("redis://127.0.0.1:1/0", "1")


async def test_a_redis_that_is_away_fails_readiness() -> None:
    bus = RedisBus("redis://127.0.0.1:1/0", "1")
    with pytest.raises(RedisError):
        await bus.ping()
    await bus.close()
