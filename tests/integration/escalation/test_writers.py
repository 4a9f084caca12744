"""Two writers on PostgreSQL, rollbacks and readers in between: no gap, no skip, no deadlock."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.events import EscalationRaised
from services.common.models import OutboxEntry
from services.common.service import Kernel
from services.common.tail import Tail
from services.escalation.escalations import Escalations
from services.escalation.feed import Feed
from services.escalation.machine import IllegalTransition
from services.escalation.models import Escalation
from tests.support.tables import create_tables
from tests.unit.escalation.harness import DETAILS, escalated, settings_for


class Undone(Exception):
    """Raised to undo a transaction."""


class Writer:
    """What one process of the service writes with."""

    def __init__(self, url: str) -> None:
        self.kernel = Kernel.build(settings_for(url))
        self.feed = Feed(self.kernel.database, self.kernel.keys, pushing=True)
        self.rules = Escalations(self.feed, self.kernel.keys, self.kernel.clock, self.kernel.settings)

    @asynccontextmanager
    async def transaction(self, chance: random.Random) -> AsyncIterator[AsyncSession]:
        """A transaction that takes a moment, and is undone now and then."""
        pause, undone = chance.random() * 0.005, chance.random() < 0.25
        async with self.kernel.database.transaction() as session:
            yield session
            await session.execute(text(f"SELECT pg_sleep({pause:f})"))
            if undone:
                raise Undone


@pytest.fixture
async def writers(postgres_url: str) -> AsyncIterator[list[Writer]]:
    writers = [Writer(postgres_url) for _ in range(2)]
    await create_tables(writers[0].kernel.database)
    yield writers
    for writer in writers:
        await writer.kernel.database.close()


async def _until_committed(writer: Writer, escalation_id: str, chance: random.Random) -> None:
    while True:
        try:
            async with writer.transaction(chance) as session:
                event = escalated(writer.kernel, escalation_id, DETAILS)
                await writer.rules.raise_for_cases(session, [event])
        except Undone:
            continue
        return


async def test_two_hundred_escalations_by_two_writers_leave_no_gap_and_readers_skip_nothing(
    writers: list[Writer],
) -> None:
    chance = random.Random(20260401)
    # A third process reads: it is woken by nobody.
    reader = Writer(writers[0].kernel.settings.database_url)
    tail = Tail(reader.feed.read, reader.feed.last, reader.kernel.clock)
    looking = asyncio.create_task(tail.run())

    async def follow(read_directly: bool) -> list[int]:
        seen: list[int] = []
        while len(seen) < 200:
            after = seen[-1] if seen else 0
            if read_directly:
                items = await reader.feed.read(after, 7)
                await asyncio.sleep(0.005)
            else:
                items = list(await tail.after(after, 100, 30))
            seen += [item.seq for item in items]
        return seen

    following = [asyncio.create_task(follow(n % 2 == 0)) for n in range(6)]
    await asyncio.gather(*(_until_committed(writers[n % 2], f"e-{n}", chance) for n in range(200)))
    async with asyncio.timeout(60):
        for seen in await asyncio.gather(*following):
            assert seen == list(range(1, 201))
    looking.cancel()
    items = await reader.feed.read(0, 500)
    assert [item.seq for item in items] == list(range(1, 201))
    async with reader.kernel.database.reading() as session:
        emitted = await session.scalar(select(func.count()).select_from(OutboxEntry))
    assert emitted == 200
    await reader.kernel.database.close()


async def test_the_same_escalation_by_two_writers_at_once_is_one_item(writers: list[Writer]) -> None:
    chance = random.Random(1)
    await asyncio.gather(*(_until_committed(writers[n % 2], f"e-{n // 4}", chance) for n in range(40)))
    assert len(await writers[0].feed.read(0, 500)) == 10


async def test_escalations_of_one_batch_are_raised_in_their_order_and_known_ones_left(
    writers: list[Writer],
) -> None:
    writer = writers[0]
    events = [escalated(writer.kernel, f"{number:032x}", DETAILS) for number in range(4)]
    for batch in (events[1:2], [*events, events[3]]):
        async with writer.kernel.database.transaction() as session:
            await writer.rules.raise_for_cases(session, batch)
    raised = [events[1], events[0], events[2], events[3]]
    async with writer.kernel.database.reading() as session:
        rows = await session.scalars(select(Escalation).order_by(Escalation.seq))
        assert [row.id for row in rows] == [event.escalation_id for event in raised]
        told = await session.scalars(
            select(OutboxEntry.payload)
            .where(OutboxEntry.type == EscalationRaised.TYPE)
            .order_by(OutboxEntry.id)
        )
        assert [(one["escalation_id"], one["seq"]) for one in told] == [
            (event.escalation_id, seq) for seq, event in enumerate(raised, 1)
        ]


async def test_desks_and_events_that_cross_deadlock_nowhere_and_happen_once(writers: list[Writer]) -> None:
    """Batches of withdrawals meet acknowledgements of the same escalations in another order."""
    chance = random.Random(2)
    ids = [f"e-{n}" for n in range(30)]
    for escalation_id in ids:
        await _until_committed(writers[0], escalation_id, chance)

    async def acknowledge(writer: Writer, escalation_id: str) -> None:
        async with writer.kernel.database.transaction() as session:
            await writer.rules.acknowledge(session, escalation_id, "desk1", "王警官")

    async def withdraw(writer: Writer, batch: list[str]) -> None:
        async with writer.kernel.database.transaction() as session:
            for escalation_id in batch:
                await writer.rules.withdraw(session, escalation_id)

    work = [acknowledge(writer, escalation_id) for escalation_id in ids for writer in writers]
    work += [withdraw(writers[n % 2], chance.sample(ids, 10)) for n in range(6)]
    chance.shuffle(work)
    for end in await asyncio.gather(*work, return_exceptions=True):
        assert end is None or isinstance(end, IllegalTransition), end
    items = await writers[0].feed.read(0, 500)
    assert [item.seq for item in items] == list(range(1, len(items) + 1))
    per_escalation = [(item.type, item.body[item.body.index(b'"escalation_id"') :][:30]) for item in items]
    assert len(per_escalation) == len(set(per_escalation))
