"""The in-process bus: the log itself, read with a durable cursor per consumer."""

import asyncio
import contextlib
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Entry
from services.common.database import Database, insert_ignoring_duplicates
from services.common.events import ALL
from services.common.models import ConsumerCursor, OutboxEntry

_WAIT_SECONDS = 1.0


class LocalBus:
    """Same semantics as the streams, without a server: what is behind the cursor was handled.

    Publishing only wakes the readers early; the entries are in the table already.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._published = asyncio.Condition()
        self._publications = 0

    async def publish(self, entries: Sequence[Entry]) -> None:
        async with self._published:
            self._publications += 1
            self._published.notify_all()

    async def next_batch(self, consumer: str, limit: int) -> list[Entry]:
        seen = self._publications
        batch = await self._read(consumer, limit)
        if batch:
            return batch
        async with self._published:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._published.wait_for(lambda: self._publications != seen), _WAIT_SECONDS
                )
        return await self._read(consumer, limit)

    async def _read(self, consumer: str, limit: int) -> list[Entry]:
        types = [event.TYPE for event in ALL.values() if consumer in event.CONSUMERS]
        async with self._database.reading() as session:
            after = await session.scalar(
                select(ConsumerCursor.position).where(ConsumerCursor.consumer == consumer)
            )
            rows = await session.execute(
                select(OutboxEntry.event_id, OutboxEntry.type, OutboxEntry.payload, OutboxEntry.position)
                .where(OutboxEntry.position > (after or 0), OutboxEntry.type.in_(types))
                .order_by(OutboxEntry.position)
                .limit(limit)
            )
            return [Entry(row.event_id, row.type, row.payload, row.position) for row in rows]

    async def settle_within(self, session: AsyncSession, consumer: str, entries: Sequence[Entry]) -> None:
        reached = max(entry.position for entry in entries)
        await session.execute(
            insert_ignoring_duplicates(
                session,
                ConsumerCursor.__table__,  # type: ignore[arg-type]
                {"consumer": consumer, "position": 0},
            )
        )
        await session.execute(
            update(ConsumerCursor)
            .where(ConsumerCursor.consumer == consumer, ConsumerCursor.position < reached)
            .values(position=reached)
        )

    async def settle_after(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Do nothing: the cursor moved with the transaction."""

    async def lost_entries(self) -> bool:
        return False

    async def ping(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Hold nothing open."""
