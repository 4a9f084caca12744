"""Fifty readers at once: each sees every item in order, at once, and they share the reads."""

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import event

from tests.unit.escalation.harness import Desk, serving, settings_for

log = structlog.get_logger(__name__)

_READERS = 50


class Meter:
    """Counts the reads of feed items, and notes when each transaction that wrote one began to commit."""

    def __init__(self) -> None:
        self.reads = 0
        self.committed_at: list[float] = []


@contextmanager
def _measuring(desk: Desk) -> Iterator[Meter]:
    engine, meter = desk.kernel.database.engine.sync_engine, Meter()

    def executed(connection: Any, _: Any, statement: str, *__: Any) -> None:
        if statement.startswith("SELECT") and "FROM feed_items" in statement:
            meter.reads += 1
        if statement.startswith("INSERT INTO feed_items"):
            connection.info["feed"] = True

    def committing(connection: Any) -> None:
        if connection.info.pop("feed", False):
            meter.committed_at.append(time.perf_counter())

    event.listen(engine, "before_cursor_execute", executed)
    event.listen(engine, "commit", committing)
    yield meter
    event.remove(engine, "before_cursor_execute", executed)
    event.remove(engine, "commit", committing)


async def _poll(desk: Desk, last: int) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []
    while not seen or seen[-1][0] < last:
        page = await desk.feed(after=seen[-1][0] if seen else 0, wait=30)
        now = time.perf_counter()
        seen += [(item["seq"], now) for item in page["items"]]
    return seen


async def _follow(desk: Desk, last: int) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []
    async with desk.stream() as events:
        async for received in events:
            assert json.loads(received["data"])["seq"] == int(received["id"])
            seen.append((int(received["id"]), time.perf_counter()))
            if seen[-1][0] == last:
                break
    return seen


async def test_fifty_readers_see_every_item_in_order_and_share_the_reads(database_url: str) -> None:
    items = 20
    async with serving(settings_for(database_url)) as desk:
        readers = [asyncio.create_task((_poll if n % 2 else _follow)(desk, items)) for n in range(_READERS)]
        await desk.readers("feed", _READERS // 2)
        await desk.readers("feed_poll", _READERS // 2)
        with _measuring(desk) as meter:
            for _ in range(items):
                await desk.escalate()
            async with asyncio.timeout(100):
                seen = await asyncio.gather(*readers)
        for numbers in seen:
            assert [seq for seq, _ in numbers] == list(range(1, items + 1))
        assert meter.reads < items * _READERS / 4
        log.info("measured", on=desk.kernel.database.dialect, reads=meter.reads, items=items)


async def test_an_item_reaches_a_waiting_reader_at_once(database_url: str) -> None:
    items = 30
    async with serving(settings_for(database_url)) as desk:
        readers = [asyncio.create_task(follow(desk, items)) for follow in (_poll, _follow)]
        await desk.readers("feed", 1)
        await desk.readers("feed_poll", 1)
        with _measuring(desk) as meter:
            for number in range(items):
                await desk.escalate()
                await desk.item(number + 1)
            seen = await asyncio.gather(*readers)
        for name, numbers in zip(("long poll", "stream"), seen, strict=True):
            delays = sorted(
                (got - committed) * 1000
                for (_, got), committed in zip(numbers, meter.committed_at, strict=True)
            )
            p50, p95 = statistics.median(delays), delays[int(len(delays) * 0.95)]
            log.info("measured", on=desk.kernel.database.dialect, by=name, p50_ms=p50, p95_ms=p95)
            # Without being woken it would take 125 ms on average.
            assert p50 < 100


async def test_an_item_of_another_instance_reaches_a_reader(postgres_url: str) -> None:
    async with serving(settings_for(postgres_url)) as desk:
        poll = asyncio.create_task(desk.feed(wait=30))
        await desk.readers("feed_poll", 1)
        async with serving(settings_for(postgres_url, instance="2")) as other:
            escalation_id = await other.escalate()
            page = await poll
            assert page["items"][0]["data"]["escalation_id"] == escalation_id
            # what the other one acknowledges is there for whoever asks this one next
            for number in range(2, 12):
                another = await other.escalate()
                await other.item(number * 2 - 2)
                await other.call("POST", f"/escalations/{another}/ack")
                last = (await desk.feed())["items"][-1]
                assert (last["type"], last["data"]["escalation_id"]) == ("escalation.acknowledged", another)
