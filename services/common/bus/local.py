"""The in-process bus: the log itself, read with a durable cursor per consumer."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Entry
from services.common.bus.routing import routed, types_for
from services.common.database import Database, insert_ignoring_duplicates, rows_changed
from services.common.models import ConsumerCursor, OutboxEntry

_LONGEST_WAIT = 1.0
_CURSORS = ConsumerCursor.__table__
_LOG = OutboxEntry.__table__.c


class LocalBus:
    """Same semantics as the streams, without a server: what is behind the cursor was handled.

    The entries are in the table already, so publishing has nothing to do; announcing only wakes a reader
    early, and one that was not woken looks once a second.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Set while there may be something to read: at the start, after an announcement or a full batch.
        self._wake: defaultdict[str, asyncio.Event] = defaultdict(_set_event)
        self._taken_upto: dict[str, int] = {}
        """What a consumer was given and may not have settled yet."""

    async def publish(self, entries: Sequence[Entry], *, expected: str | None, mark: str) -> bool:
        return True

    async def stands_at(self, mark: str) -> bool:
        return True

    def announce(self, entries: Sequence[Entry]) -> None:
        for consumer in routed(entries):
            self._wake[consumer].set()

    async def next_batch(self, consumer: str, limit: int, within: float = _LONGEST_WAIT) -> list[Entry]:
        wake = self._wake[consumer]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(within, _LONGEST_WAIT)):
                await wake.wait()
        wake.clear()
        batch = await self._read(consumer, limit)
        if batch:
            self._taken_upto[consumer] = batch[-1].position
        if len(batch) == limit:
            wake.set()
        return batch

    async def _read(self, consumer: str, limit: int) -> list[Entry]:
        cursor = select(ConsumerCursor.position).where(ConsumerCursor.consumer == consumer).scalar_subquery()
        after = func.coalesce(cursor, 0)
        async with self._database.reading() as session:
            rows = await session.execute(
                select(_LOG.event_id, _LOG.type, _LOG.payload, _LOG.position)
                .where(
                    _LOG.position > after,
                    _LOG.position > self._taken_upto.get(consumer, 0),
                    _LOG.type.in_(types_for(consumer)),
                )
                .order_by(_LOG.position)
                .limit(limit)
            )
            return [Entry(*row) for row in rows]

    async def settle_within(self, session: AsyncSession, consumer: str, entries: Sequence[Entry]) -> None:
        reached = max(entry.position for entry in entries)
        moved = await session.execute(
            update(_CURSORS)  # type: ignore[arg-type]
            .where(_CURSORS.c.consumer == consumer, _CURSORS.c.position < reached)
            .values(position=reached)
        )
        if not rows_changed(moved):  # the first entries ever; or an older entry, and the cursor stays
            values = {"consumer": consumer, "position": reached}
            await session.execute(insert_ignoring_duplicates(session, _CURSORS, values))  # type: ignore[arg-type]

    async def settle_after(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Do nothing: the cursor moved with the transaction."""

    def retake(self, consumer: str) -> None:
        self._taken_upto.pop(consumer, None)
        self._wake[consumer].set()

    async def ping(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Hold nothing open."""


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
