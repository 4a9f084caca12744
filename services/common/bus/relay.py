"""The relay gives committed events their place in the log and hands them to the bus.

Rows get their ids when written but become visible when committed, and on PostgreSQL the two orders differ:
a reader that follows ids would skip the slower writer. So the order is given here, under one row lock.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Bus, Entry
from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates
from services.common.events import ALL
from services.common.metrics import EVENTS_PUBLISHED
from services.common.models import HandledEvent, LogPosition, OutboxEntry

log = structlog.get_logger(__name__)

_BATCH = 500
_POLL_SECONDS = 0.5
_STALE_AFTER = timedelta(seconds=30)
_PRUNE_AFTER = timedelta(days=7)
_SWEEP_SECONDS = 10.0
_CONSUMERS = sorted({name for event in ALL.values() for name in event.CONSUMERS})


class Relay:
    """Publishes this database's events; any number of relays may run, one at a time does the work."""

    def __init__(self, database: Database, bus: Bus, clock: Clock) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._committed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        # A consumer that is away for long must not find the same entry once per sweep when it returns.
        self._republished: set[int] = set()
        database.on_commit(self._committed.set)

    def on_numbered(self, listener: Callable[[], None]) -> None:
        """Call `listener` after events got their places in the log (the live streams read it then)."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Publish for ever; a bus or database that is away delays events and loses none."""
        swept_at = -_SWEEP_SECONDS
        while True:
            self._committed.clear()
            try:
                while await self.publish_pending() == _BATCH:
                    pass
                if await self._bus.lost_entries():
                    self._republished.clear()
                    await self.republish(unhandled_for=timedelta(0))
                if self._clock.monotonic() - swept_at >= _SWEEP_SECONDS:
                    await self.republish(unhandled_for=_STALE_AFTER)
                    await self.prune()
                    swept_at = self._clock.monotonic()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever is away comes back; the rows wait
                log.warning("relay_waits", error=repr(error))
                await self._clock.sleep(_POLL_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._committed.wait(), _POLL_SECONDS)

    async def publish_pending(self) -> int:
        """Number and publish up to 500 events; return how many."""
        async with self._database.reading() as session:
            if not await session.scalar(select(exists().where(OutboxEntry.position.is_(None)))):
                return 0
        async with self._database.transaction() as session:
            last = await self._lock(session)
            rows = (
                await session.execute(
                    select(OutboxEntry.id, OutboxEntry.event_id, OutboxEntry.type, OutboxEntry.payload)
                    .where(OutboxEntry.position.is_(None))
                    .order_by(OutboxEntry.id)
                    .limit(_BATCH)
                )
            ).all()
            entries = [
                Entry(row.event_id, row.type, row.payload, last + offset)
                for offset, row in enumerate(rows, start=1)
            ]
            if not entries:
                return 0
            # Published before the commit that says so: a crash between the two publishes again, never not.
            await self._bus.publish(entries)
            table = OutboxEntry.__table__
            await session.execute(
                update(table)  # type: ignore[arg-type]
                .where(table.c.id == bindparam("row_id"))
                .values(position=bindparam("row_position")),
                [
                    {"row_id": row.id, "row_position": entry.position}
                    for row, entry in zip(rows, entries, strict=True)
                ],
            )
            await session.execute(update(LogPosition).values(last=entries[-1].position))
        EVENTS_PUBLISHED.inc(len(entries))
        for listener in self._listeners:
            listener()
        await self._bus.publish(())
        return len(entries)

    async def republish(self, unhandled_for: timedelta) -> int:
        """Publish again what some consumer has not handled for this long; return how many entries."""
        before = self._clock.now() - unhandled_for
        found: dict[int, Entry] = {}
        async with self._database.transaction() as session:
            await self._lock(session)  # nothing newer may overtake what is published again
            for consumer in _CONSUMERS:
                rows = await session.execute(
                    select(
                        OutboxEntry.event_id, OutboxEntry.type, OutboxEntry.payload, OutboxEntry.position
                    ).where(
                        OutboxEntry.position.is_not(None),
                        OutboxEntry.emitted_at <= before,
                        _unhandled_by(consumer),
                    )
                )
                for row in rows:
                    if row.position not in self._republished:
                        found[row.position] = Entry(row.event_id, row.type, row.payload, row.position)
            entries = [found[position] for position in sorted(found)]
            await self._bus.publish(entries)
        self._republished.update(found)
        if entries:
            log.info("relay_republished", entries=len(entries))
        return len(entries)

    async def prune(self) -> None:
        """Forget events that every consumer handled more than a week ago, and the notes of it."""
        before = self._clock.now() - _PRUNE_AFTER
        async with self._database.transaction() as session:
            await session.execute(
                delete(OutboxEntry).where(
                    OutboxEntry.emitted_at < before,
                    OutboxEntry.position.is_not(None),
                    *(~_unhandled_by(consumer) for consumer in _CONSUMERS),
                ),
                execution_options={"synchronize_session": False},
            )
            await session.execute(
                delete(HandledEvent).where(
                    HandledEvent.handled_at < before,
                    ~exists().where(OutboxEntry.event_id == HandledEvent.event_id),
                ),
                execution_options={"synchronize_session": False},
            )

    async def _lock(self, session: AsyncSession) -> int:
        statement = select(LogPosition.last).where(LogPosition.name == "log").with_for_update()
        last = await session.scalar(statement)
        if last is None:
            await session.execute(
                insert_ignoring_duplicates(session, LogPosition.__table__, {"name": "log", "last": 0})  # type: ignore[arg-type]
            )
            last = await session.scalar(statement)
        return last or 0


def _unhandled_by(consumer: str) -> ColumnElement[bool]:
    types = [event.TYPE for event in ALL.values() if consumer in event.CONSUMERS]
    return and_(
        OutboxEntry.type.in_(types),
        ~exists().where(HandledEvent.consumer == consumer, HandledEvent.event_id == OutboxEntry.event_id),
    )


def routed(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the entries each consumer gets, in their order."""
    by_consumer: dict[str, list[Entry]] = {}
    for entry in entries:
        for consumer in ALL[entry.type].CONSUMERS if entry.type in ALL else ():
            by_consumer.setdefault(consumer, []).append(entry)
    return by_consumer
