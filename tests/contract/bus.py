"""What both buses promise on both databases (see `services.common.bus.contract`)."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Bus, Together, emit
from services.common.bus.upkeep import EVENTS_FOR, prune
from services.common.events import AttemptChanged, CasesChanged
from services.common.models import DeadLetter, HandledEvent, OutboxEntry
from tests.support.events import (
    DEADLINE,
    SERVICE,
    DeafBus,
    FaultyBus,
    World,
    concluded,
    event,
    eventually,
    take_effect,
)


class BusContract:
    """Inherited by one test class for each pair of bus and database, which supplies the `world`."""

    async def test_events_of_a_key_are_handled_once_and_in_order(self, world: World) -> None:
        node = world.node().start()
        keys = [f"case{number}" for number in range(5)]

        async def live(key: str) -> None:
            for number in range(12):
                await world.emit(key, number)

        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(live(key))
        await world.wait_for_effects(60)
        await node.crash()
        for key in keys:
            assert await world.effects(key) == list(range(12))
        assert await world.positions() == list(range(1, 61))

    async def test_what_is_rolled_back_is_never_published(self, world: World) -> None:
        with pytest.raises(ZeroDivisionError):
            async with world.database.transaction() as session:
                await emit(session, event("case", 1))
                raise ZeroDivisionError
        await world.emit("case", 2)
        world.node().start()
        await world.wait_for_effects(1)
        assert await world.effects() == [2]
        assert await world.positions() == [1]

    async def test_an_event_about_many_things_takes_a_number_of_the_log_for_each(self, world: World) -> None:
        now = datetime.now(UTC)
        async with world.database.transaction() as session:
            many = CasesChanged(occurred_at=now, case_ids=("a", "b", "c"))
            await emit(session, event("case", 1), many, event("case", 2))
        world.node().start()
        await world.wait_for_effects(2)
        await world.emit("case", 3)
        await world.wait_for_effects(3)
        assert await world.positions() == [1, 4, 5, 6]

    async def test_a_consumer_gets_only_events_meant_for_it(self, world: World) -> None:
        node = world.node().start(consuming=False)
        await world.emit("case", 1)
        await eventually(lambda: _published(world, 1))
        got: list[int] = []

        async def arrived() -> bool:
            got.extend(entry.position for entry in await node.bus.next_batch("movecar", 10))
            return bool(got)

        assert await node.bus.next_batch("outbound", 10) == []
        await eventually(arrived)
        assert got == [1]
        assert await node.bus.next_batch("outbound", 10) == []

    async def test_an_event_whose_handler_died_is_handled_after_the_restart(self, world: World) -> None:
        stuck = asyncio.Event()

        async def die(session: AsyncSession, handled: AttemptChanged) -> None:
            await take_effect(session, handled)
            stuck.set()
            await asyncio.Event().wait()

        dying = world.node(die).start()
        await world.emit("case", 1, 2)
        await asyncio.wait_for(stuck.wait(), 10)
        await dying.crash()
        assert await world.effects() == []
        await world.emit("case", 3)
        world.node().start()
        await world.wait_for_effects(3)
        assert await world.effects() == [1, 2, 3]

    async def test_an_event_handled_but_not_settled_has_no_second_effect(self, world: World) -> None:
        dying = world.node(around=lambda bus: cast(Bus, DeafBus(bus, "settle_after"))).start()
        await world.emit("case", 1, 2)
        await asyncio.wait_for(cast(DeafBus, dying.bus).died.wait(), 10)
        await dying.crash()
        assert await world.effects() == [1, 2]
        await world.emit("case", 3)
        world.node().start()
        await world.wait_for_effects(3)
        assert await world.effects() == [1, 2, 3]

    async def test_events_whose_relay_died_after_publishing_are_published_again(self, world: World) -> None:
        dying = world.node(around=lambda bus: cast(Bus, FaultyBus(bus, "publish"))).start(consuming=False)
        await world.emit("case", 1, 2)
        await asyncio.wait_for(cast(FaultyBus, dying.bus).died.wait(), 10)
        await dying.crash()
        assert await world.positions() == [None, None]
        await world.emit("case", 3)
        world.node().start()
        await world.wait_for_effects(3)
        assert await world.effects() == [1, 2, 3]
        assert await world.positions() == [1, 2, 3]

    async def test_events_whose_relay_died_before_publishing_are_published(self, world: World) -> None:
        dying = world.node(around=lambda bus: cast(Bus, DeafBus(bus, "publish"))).start(consuming=False)
        await world.emit("case", 1)
        await asyncio.wait_for(cast(DeafBus, dying.bus).died.wait(), 10)
        await dying.crash()
        world.node().start()
        await world.wait_for_effects(1)
        assert await world.effects() == [1]

    async def test_two_relays_leave_no_gap_and_give_no_place_twice(self, world: World) -> None:
        one, other = world.node(instance="1").start(), world.node(instance="2").start(consuming=False)
        numbers = itertools.count(1)

        async def live() -> None:
            for _ in range(12):
                await world.emit("case", next(numbers))

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(live())
        await world.wait_for_effects(48)
        await one.crash()
        await other.crash()
        assert sorted(await world.effects()) == list(range(1, 49))
        assert await world.positions() == list(range(1, 49))

    async def test_two_instances_of_a_service_keep_the_order(self, world: World) -> None:
        nodes = [world.node(instance=name).start() for name in ("1", "2")]
        for number in range(25):
            await world.emit("case", number)
        await world.wait_for_effects(25)
        for node in nodes:
            await node.crash()
        assert await world.effects() == list(range(25))

    async def test_a_poison_event_is_set_aside_and_the_others_go_on(self, world: World) -> None:
        tries: list[int] = []

        async def choke(session: AsyncSession, handled: AttemptChanged) -> None:
            await take_effect(session, handled)
            if handled.version == 2:
                tries.append(handled.version)
                raise RuntimeError("defect met with 苏D10001\x00")

        await world.emit("case", 1, 2, 3)
        node = world.node(choke).start()
        await world.emit("case", 4)
        await world.wait_for_effects(3)
        await eventually(lambda: _set_aside(world, 1))
        await node.crash()
        assert await world.effects() == [1, 3, 4]
        (letter,) = await world.dead_letters()
        assert (letter.consumer, letter.type) == ("movecar", "attempt.changed.v1")
        assert letter.payload["version"] == 2
        assert letter.error == "RuntimeError: defect met with [plate…01]␀"
        assert len(tries) >= 5

    async def test_events_that_come_together_are_handled_together_and_in_order(self, world: World) -> None:
        sizes: list[int] = []

        async def take_all(session: AsyncSession, handled: Sequence[AttemptChanged]) -> None:
            if any(one.version == 7 for one in handled):
                raise RuntimeError("defect")
            sizes.append(len(handled))
            for one in handled:
                await take_effect(session, one)

        await world.emit("case", 1, 2, 3, 4)
        node = world.node(Together(take_all)).start()
        await world.wait_for_effects(4)
        assert max(sizes) > 1
        await world.emit("case", 5, 6, 7, 8)
        await world.wait_for_effects(7)
        await eventually(lambda: _set_aside(world, 1))
        await node.crash()
        assert await world.effects() == [1, 2, 3, 4, 5, 6, 8]

    async def test_what_is_urgent_waits_for_nothing_but_what_precedes_it_of_its_key(
        self, world: World
    ) -> None:
        async with world.database.transaction() as session:
            await emit(session, event("other", 1), event("case", 2), event("other", 3))
            await emit(session, concluded("case"), event("case", 4))
        relaying = world.node().start(consuming=False)
        await eventually(lambda: _published(world, 5))
        await relaying.crash()
        node = world.node().start()  # finds all of them at once
        await world.wait_for_effects(5)
        await node.crash()
        assert (await world.effects())[:2] == [2, 0]
        assert (await world.effects("case"), await world.effects("other")) == ([2, 0, 4], [1, 3])

    async def test_what_is_urgent_is_handled_once_when_the_rest_of_its_batch_is_poison(
        self, world: World
    ) -> None:
        async def choke(session: AsyncSession, handled: AttemptChanged) -> None:
            raise RuntimeError("defect")

        async with world.database.transaction() as session:
            await emit(session, event("other", 1), concluded("case"))
        world.node(choke).start()
        await eventually(lambda: _set_aside(world, 1))
        assert await world.effects() == [0]

    async def test_what_is_not_urgent_is_handled_with_what_comes_meanwhile(self, world: World) -> None:
        sizes: list[int] = []

        async def take_all(session: AsyncSession, handled: Sequence[AttemptChanged]) -> None:
            sizes.append(len(handled))
            for one in handled:
                await take_effect(session, one)

        world.node(Together(take_all)).start()
        await world.emit("case", 1)
        await world.wait_for_effects(1)
        for number in range(2, 12):
            await world.emit("case", number)
        await world.wait_for_effects(11)
        assert await world.effects() == list(range(1, 12))
        assert len(sizes) < 11

    async def test_what_was_taken_and_not_settled_is_given_again_in_parts(self, world: World) -> None:
        await world.emit("case", 1, 2, 3, 4, 5)
        node = world.node().start(consuming=False)
        await eventually(lambda: _published(world, 5))
        taken: list[int] = []
        async with asyncio.timeout(DEADLINE):
            while len(taken) < 5:
                taken += [entry.position for entry in await node.bus.next_batch(SERVICE, 10)]
            assert await node.bus.next_batch(SERVICE, 10, 0.01) == []
            node.bus.retake(SERVICE)
            again = [entry.position for entry in await node.bus.next_batch(SERVICE, 2)]
            again += [entry.position for entry in await node.bus.next_batch(SERVICE, 10)]
        assert taken == again == [1, 2, 3, 4, 5]

    async def test_a_dead_letter_is_run_again_when_operations_ask(self, world: World) -> None:
        defective = True

        async def choke(session: AsyncSession, handled: AttemptChanged) -> None:
            if defective:
                raise RuntimeError(
                    "first defect" if len(await world.dead_letters()) == 0 else "second defect"
                )
            await take_effect(session, handled)

        await world.emit("case", 1)
        node = world.node(choke).start()
        await eventually(lambda: _set_aside(world, 1))
        await node.crash()

        await _ask_for_replay(world)
        assert await node.consumer.replay_requested() == 0
        (letter,) = await world.dead_letters()
        assert letter.error == "RuntimeError: second defect"
        assert letter.replay_requested_at is letter.replayed_at is None
        assert await node.consumer.replay_requested() == 0  # nobody asked again

        defective = False
        await _ask_for_replay(world)
        node.start()
        await world.wait_for_effects(1)
        await node.crash()
        assert await node.consumer.replay_requested() == 0
        assert await world.effects() == [1]
        (letter,) = await world.dead_letters()
        assert letter.replayed_at is not None

    @pytest.mark.parametrize(
        ("type_", "payload"),
        [
            ("attempt.changed.v1", {"case_id": "case"}),  # fields are missing
            (
                "attempt.changed.v1",
                event("case", 1).model_dump(mode="json") | {"new": 1},
            ),  # of a newer version
        ],
    )
    async def test_an_unreadable_event_is_set_aside_at_once(
        self, world: World, type_: str, payload: dict[str, object]
    ) -> None:
        async with world.database.transaction() as session:
            values = {"event_id": "e", "type": type_, "key": "case", "emitted_at": datetime.now(UTC)}
            await session.execute(insert(OutboxEntry).values(payload=payload, **values))
        await world.emit("case", 2)
        world.node().start()
        await world.wait_for_effects(1)
        await eventually(lambda: _set_aside(world, 1))
        assert [letter.event_id for letter in await world.dead_letters()] == ["e"]
        assert await world.effects() == [2]

    async def test_pruning_keeps_what_somebody_has_not_handled(self, world: World) -> None:
        now = datetime.now(UTC)
        node = world.node()
        await world.emit("handled", 1, occurred_at=now - EVENTS_FOR - timedelta(hours=1))
        await node.relay.publish_pending()
        while not (entries := await node.bus.next_batch(SERVICE, 10)):
            await node.relay.refill()  # Redis had no place for this consumer yet
        await node.consumer.handle(entries)  # and settled, on the bus too
        await world.emit("waiting", 2, occurred_at=now - EVENTS_FOR - timedelta(hours=1))
        await node.relay.publish_pending()
        await world.emit("unpublished", 3, occurred_at=now - EVENTS_FOR - timedelta(hours=1))
        await prune(world.database, now)
        async with world.database.reading() as session:
            assert sorted(await session.scalars(select(OutboxEntry.key))) == ["unpublished", "waiting"]
            assert len((await session.scalars(select(HandledEvent))).all()) == 1  # young: handled just now
        await prune(world.database, now + EVENTS_FOR + timedelta(hours=1))
        async with world.database.reading() as session:
            assert (await session.scalars(select(HandledEvent))).all() == []
        world.node().start()
        await world.wait_for_effects(3)
        assert await world.effects() == [1, 2, 3]


class SlowWriterContract:
    """For databases on which two transactions write at once."""

    async def test_an_event_committed_late_is_not_skipped(self, world: World) -> None:
        node = world.node().start()
        async with world.database.transaction() as slow:
            await emit(slow, event("slow", 1))  # has the lower id from here on
            await world.emit("fast", 2)
            await world.wait_for_effects(1)
        await world.wait_for_effects(2)
        await node.crash()
        assert await world.effects() == [2, 1]
        assert await world.positions() == [1, 2]


async def _published(world: World, count: int) -> bool:
    return sum(position is not None for position in await world.positions()) == count


async def _set_aside(world: World, count: int) -> bool:
    return len(await world.dead_letters()) == count


async def _ask_for_replay(world: World) -> None:
    async with world.database.transaction() as session:
        await session.execute(update(DeadLetter).values(replay_requested_at=datetime.now(UTC)))
