"""The relay gives committed events their place in the log and hands them to the bus.

Rows get their ids when written but become visible when committed, and on PostgreSQL the two orders differ:
a reader that follows ids would skip the slower writer. So the order is given here, under one row lock.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

import structlog
from sqlalchemy import Table, bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Bus, Entry
from services.common.bus.routing import CONSUMERS, is_urgent, unhandled_by
from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates
from services.common.ids import new_id
from services.common.metrics import EVENTS_PUBLISHED
from services.common.models import LogPosition, OutboxEntry
from services.common.pace import Leisure, Pace

log = structlog.get_logger(__name__)

_BATCH = 500
_POLL_SECONDS = 0.5
_PACE_EACH = 0.002
_PACE_LONGEST = 0.05

_LOG = cast(Table, OutboxEntry.__table__)
_COLUMNS = (_LOG.c.event_id, _LOG.c.type, _LOG.c.payload, _LOG.c.position)

_POSITIONS = cast(Table, LogPosition.__table__)
_LAST = select(_POSITIONS.c.last).where(_POSITIONS.c.name == "log")
_LAST_LOCKED = _LAST.with_for_update()
_ADVANCE = update(_POSITIONS).where(_POSITIONS.c.name == "log").values(last=bindparam("upto"))
_STATE = select(exists().where(_LOG.c.position.is_(None)), _LAST.scalar_subquery())
_UNPUBLISHED = (
    select(_LOG.c.id, func.sum(_LOG.c.places).over(order_by=_LOG.c.id).label("upto"))
    .where(_LOG.c.position.is_(None))
    .order_by(_LOG.c.id)
    .limit(_BATCH)
    .subquery()
)
_NUMBER = (
    update(_LOG)
    .where(_LOG.c.id == _UNPUBLISHED.c.id)
    .values(position=bindparam("last") + _UNPUBLISHED.c.upto)
    .returning(*_COLUMNS)
)
_UNHANDLED = (
    select(*_COLUMNS)
    .where(_LOG.c.position > bindparam("after"), or_(*map(unhandled_by, CONSUMERS)))
    .order_by(_LOG.c.position)
    .limit(_BATCH)
)


class BusForgot(Exception):
    """The bus was emptied while it was being refilled; the next round begins again."""


class Relay:
    """Publishes this database's events; any number of relays may run, one at a time does the work."""

    def __init__(self, database: Database, bus: Bus, clock: Clock) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._pace = Pace(_PACE_EACH, _PACE_LONGEST)
        self._leisure = Leisure()
        self._urgently = 0
        self._committed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        database.on_commit(self._on_commit)

    def on_numbered(self, listener: Callable[[], None]) -> None:
        """Call `listener` after events got their places in the log (the live streams read it then)."""
        self._listeners.append(listener)

    def _on_commit(self, urgent: bool) -> None:
        self._committed.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Publish for ever; a bus or database that is away delays events and loses none."""
        waiting = False
        while True:
            woken = self._committed.is_set()
            self._committed.clear()
            self._urgent.clear()
            try:
                await self._round(woken)
            except Exception as error:  # whatever is away comes back; the rows wait
                if not waiting:
                    log.warning("relay_waits", error=repr(error))
                waiting = True
                await self._clock.sleep(_POLL_SECONDS)
                continue
            if waiting:
                log.info("relay_resumes")
            waiting = False
            await self._pace.wait()
            await self._until_wanted()

    async def _until_wanted(self) -> None:
        """Wait for what is urgent; for the rest no longer than it may wait; for nothing, half a second."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await self._committed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._leisure.over_at):
                await self._urgent.wait()

    async def _round(self, woken: bool) -> None:
        if not woken:  # nothing of this process: look for another's, and whether the bus is still whole
            async with self._database.reading() as session:
                unpublished, last = (await session.execute(_STATE)).one()
            if not unpublished:
                if not await self._bus.stands_at(str(last or 0)):
                    await self.refill()
                return
        self._leisure.begin()
        self._urgently = 0
        while await self.publish_pending() == _BATCH:
            pass
        self._pace.begin(self._urgently)

    async def publish_pending(self) -> int:
        """Number and publish up to 500 events; return how many."""
        async with self._database.transaction() as session:
            last = await self._lock(session)
            rows = await session.execute(_NUMBER, {"last": last})
            entries = sorted((Entry(*row) for row in rows), key=lambda entry: entry.position)
            if not entries:
                return 0
            upto = entries[-1].position
            # Published before the commit that says so: a crash between the two leaves the bus's mark ahead
            # of the log, and what was published then is published again, never not. One after the other: a
            # bus that dies while a statement is under way would leave the transaction open, and its lock.
            await session.execute(_ADVANCE, {"upto": upto})
            if not await self._bus.publish(entries, expected=str(last), mark=str(upto)):
                await self._refill(session, upto)
        EVENTS_PUBLISHED.inc(len(entries))
        self._urgently += sum(is_urgent(entry.type, entry.payload) for entry in entries)
        self._bus.announce(entries)
        for listener in self._listeners:
            listener()
        return len(entries)

    async def refill(self) -> int:
        """Publish again whatever some consumer has not handled, when the bus has forgotten; return how many.

        Nothing newer can be published meanwhile, so the order within each key is kept.
        """
        async with self._database.transaction() as session:
            last = await self._lock(session)
            if await self._bus.stands_at(str(last)):
                return 0  # another relay has just done it
            return await self._refill(session, last)

    async def _refill(self, session: AsyncSession, last: int) -> int:
        token = new_id()
        expected: str | None = None
        after = count = 0
        while True:
            entries = [Entry(*row) for row in await session.execute(_UNHANDLED, {"after": after})]
            count += len(entries)
            complete = len(entries) < _BATCH
            mark = str(last) if complete else f"{token}:{count}"
            if not await self._bus.publish(entries, expected=expected, mark=mark):
                raise BusForgot
            if complete:
                log.info("bus_refilled", entries=count)
                return count
            expected, after = mark, entries[-1].position

    async def _lock(self, session: AsyncSession) -> int:
        last = await session.scalar(_LAST_LOCKED)
        if last is None:
            await session.execute(insert_ignoring_duplicates(session, _POSITIONS, {"name": "log", "last": 0}))
            last = await session.scalar(_LAST_LOCKED)
        return last or 0
