"""Many readers, one read; nobody skips, nobody waits longer than he must."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import tail as tail_module
from services.common.clock import ManualClock
from services.common.tail import Tail


@dataclass(frozen=True)
class Item:
    """A row that knows its number and nothing else."""

    seq: int


class Log:
    """Items in memory, in place of the table; every read yields so that calls interleave."""

    def __init__(self, items: int = 0) -> None:
        self.items = [_item(seq) for seq in range(1, items + 1)]
        self.reads = 0
        self.failure: Exception | None = None
        self.tail = Tail(self.read, self.last, ManualClock())

    def add(self) -> None:
        self.items.append(_item(len(self.items) + 1))

    async def read(self, after: int, limit: int) -> Sequence[Item]:
        self.reads += 1
        found = self.items[after : after + limit]
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return found

    async def last(self) -> int:
        return len(self.items)


def _item(seq: int) -> Item:
    return Item(seq)


async def test_readers_at_the_same_time_share_a_read() -> None:
    log = Log()
    await log.tail.refresh()
    log.reads = 0
    log.add()
    assert await asyncio.gather(*(log.tail.refresh() for _ in range(50))) == [1] * 50
    assert log.reads <= 2


async def test_a_read_that_began_earlier_does_not_count() -> None:
    log = Log()
    await log.tail.refresh()
    early = asyncio.create_task(log.tail.refresh())
    await asyncio.sleep(0)  # it has looked and found nothing
    log.add()
    assert await log.tail.refresh() == 1
    await early


async def test_a_failed_read_fails_for_all_who_shared_it_and_only_for_them() -> None:
    log = Log()
    log.failure = OSError("away")
    results = await asyncio.gather(*(log.tail.refresh() for _ in range(10)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError] * 10
    assert log.reads <= 2
    log.failure = None
    assert await log.tail.refresh() == 0


async def test_a_cancelled_reader_leaves_the_read_to_the_next() -> None:
    log = Log(1)
    first = asyncio.create_task(log.tail.refresh())
    await asyncio.sleep(0)
    second = asyncio.create_task(log.tail.refresh())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1


async def test_everyone_who_waits_is_woken_by_one_commit() -> None:
    log = Log()
    work = asyncio.create_task(log.tail.run())
    waiting = [asyncio.create_task(log.tail.after(0, 10, 30)) for _ in range(50)]
    await asyncio.sleep(0.01)
    log.add()
    log.tail.wake()
    async with asyncio.timeout(25):
        found = await asyncio.gather(*waiting)
    assert [[item.seq for item in items] for items in found] == [[1]] * 50
    work.cancel()


async def test_another_process_s_item_is_found_without_being_woken() -> None:
    log = Log()
    work = asyncio.create_task(log.tail.run())
    waiting = asyncio.create_task(log.tail.after(0, 10, 30))
    await asyncio.sleep(0.01)
    log.add()
    async with asyncio.timeout(25):
        assert [item.seq for item in await waiting] == [1]
    work.cancel()


async def test_nobody_waiting_means_nobody_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "_POLL_SECONDS", 0.001)
    log = Log()
    work = asyncio.create_task(log.tail.run())
    assert await log.tail.after(0, 10, 0.05) == []
    looked = log.reads
    assert looked > 1
    await asyncio.sleep(0.05)
    assert log.reads <= looked + 1
    work.cancel()


async def test_a_database_that_is_away_ends_no_wait() -> None:
    log = Log()
    clock = ManualClock()
    log.tail = Tail(log.read, log.last, clock)
    work = asyncio.create_task(log.tail.run())
    log.failure = OSError("away")
    waiting = asyncio.create_task(log.tail.after(0, 10, 30))
    await asyncio.sleep(0.01)
    log.failure = None
    log.add()
    await clock.advance(1)
    async with asyncio.timeout(25):
        assert [item.seq for item in await waiting] == [1]
    work.cancel()


async def test_a_wait_ends_empty_after_its_time() -> None:
    log = Log()
    assert await log.tail.after(0, 10, 0.01) == []


async def test_closing_lets_everybody_go() -> None:
    log = Log()
    waiting = [asyncio.create_task(log.tail.after(0, 10, 30)) for _ in range(3)]
    await asyncio.sleep(0)
    await log.tail.close()
    async with asyncio.timeout(25):
        assert await asyncio.gather(*waiting) == [[]] * 3
        assert await log.tail.after(0, 10, 30) == []


async def test_a_start_on_a_long_feed_keeps_only_its_end_in_memory() -> None:
    log = Log(2500)
    assert await log.tail.refresh() == 2500
    log.reads = 0
    recent = await log.tail.after(2000, 200, 0)
    assert ([item.seq for item in recent], log.reads) == (list(range(2001, 2201)), 0)
    old = await log.tail.after(3, 200, 0)
    assert ([item.seq for item in old], log.reads) == (list(range(4, 204)), 1)


@given(st.data())
async def test_a_reader_sees_every_item_once_and_in_order(data: st.DataObject) -> None:
    log = Log(data.draw(st.integers(0, 1200)))
    seen: list[int] = []
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(0, 700))):
            log.add()
        await log.tail.refresh()
        limit = data.draw(st.integers(1, 600))
        while items := await log.tail.after(seen[-1] if seen else 0, limit, 0):
            assert len(items) <= limit
            seen += [item.seq for item in items]
    assert seen == list(range(1, len(log.items) + 1))


async def test_numbers_without_an_item_of_this_tail_are_known_too() -> None:
    """The cases' tail reads a log in which other services' events have numbers as well."""
    log = Log(items=2)

    async def last() -> int:
        return 5000

    tail = Tail(log.read, last, ManualClock())
    assert await tail.refresh() < 5000
    assert await tail.newest() == 5000
