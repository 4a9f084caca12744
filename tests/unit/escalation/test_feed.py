"""Numbers belong to what is committed; a rollback gives its number back."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from services.common.database import Database
from services.common.service import Kernel
from services.escalation.documents import EscalationData
from services.escalation.feed import Feed, NewItem
from services.escalation.models import FeedItem, PushDelivery
from tests.support.tables import create_tables
from tests.unit.escalation.harness import settings_for


class Undone(Exception):
    """Raised to undo a transaction."""


@pytest.fixture
async def kernel(sqlite_url: str) -> AsyncIterator[Kernel]:
    kernel = Kernel.build(settings_for(sqlite_url))
    await create_tables(kernel.database)
    yield kernel
    await kernel.database.close()


def _data(kernel: Kernel, subject: str) -> EscalationData:
    now = kernel.clock.now()
    return EscalationData(
        escalation_id=subject,
        case_id="c",
        reason="dispute",
        priority="normal",
        status="raised",
        escalated_at=now,
        raised_at=now,
    )


async def _append(kernel: Kernel, feed: Feed, subject: str, *, undone: bool = False, items: int = 1) -> None:
    now, data = kernel.clock.now(), _data(kernel, subject)
    async with kernel.database.transaction() as session:
        for _ in range(items):
            await feed.append(session, now, NewItem("escalation.raised", subject, data))
            await asyncio.sleep(0)
        if undone:
            raise Undone


async def test_items_written_together_are_numbered_in_their_order(kernel: Kernel) -> None:
    feed = Feed(kernel.database, kernel.keys, pushing=True)
    await _append(kernel, feed, "a")
    now, data = kernel.clock.now(), _data(kernel, "b")
    items = [NewItem("escalation.raised", subject, data, push=subject != "c") for subject in "bcd"]
    async with kernel.database.transaction() as session:
        assert await feed.append(session, now, *items) == [2, 3, 4]
    async with kernel.database.reading() as session:
        rows = await session.execute(select(FeedItem.seq, FeedItem.subject).order_by(FeedItem.seq))
        assert [tuple(row) for row in rows] == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
        assert sorted(await session.scalars(select(PushDelivery.seq))) == [1, 2, 4]


async def test_a_rollback_leaves_no_gap_and_wakes_nobody(kernel: Kernel) -> None:
    feed = Feed(kernel.database, kernel.keys, pushing=False)
    woken: list[int] = []
    feed.on_append(lambda: woken.append(1))
    await _append(kernel, feed, "a")
    with pytest.raises(Undone):
        await _append(kernel, feed, "b", undone=True)
    assert len(woken) == 1
    await _append(kernel, feed, "c", items=3)
    assert len(woken) == 2
    assert [item.seq for item in await feed.read(0, 10)] == [1, 2, 3, 4]
    assert await feed.last() == 4


async def test_many_writers_and_rollbacks_leave_no_gap(kernel: Kernel) -> None:
    feed = Feed(kernel.database, kernel.keys, pushing=False)
    chance = random.Random(7)
    plan = [(chance.random() < 0.3, chance.randint(1, 3)) for _ in range(60)]
    await asyncio.gather(
        *(
            _append(kernel, feed, str(n), undone=undone, items=items)
            for n, (undone, items) in enumerate(plan)
        ),
        return_exceptions=True,
    )
    kept = sum(items for undone, items in plan if not undone)
    assert [item.seq for item in await feed.read(0, 500)] == list(range(1, kept + 1))


@pytest.mark.parametrize("pushing", [True, False])
async def test_an_item_to_be_pushed_is_written_with_its_delivery(kernel: Kernel, pushing: bool) -> None:
    feed = Feed(kernel.database, kernel.keys, pushing=pushing)
    await _append(kernel, feed, "a")
    async with kernel.database.reading() as session:
        due = list(await session.scalars(select(PushDelivery.seq)))
    assert due == ([1] if pushing else [])


async def test_an_item_reads_the_same_every_time(kernel: Kernel) -> None:
    feed = Feed(kernel.database, kernel.keys, pushing=False)
    await _append(kernel, feed, "a")
    database = Database(kernel.database.url)
    other = Feed(database, kernel.keys, pushing=False)
    (first,), (again,) = await feed.read(0, 1), await other.read(0, 1)
    assert first.body == again.body
    await database.close()
