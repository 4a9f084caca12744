"""Running handlers: each event once in effect, whole batches in one transaction, poison set aside."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Bus, Entry
from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates, is_outage, rows_changed
from services.common.events import Event, decode
from services.common.metrics import EVENTS_HANDLED, EVENTS_SET_ASIDE
from services.common.models import DeadLetter, HandledEvent

log = structlog.get_logger(__name__)

Handler = Callable[[AsyncSession, Any], Awaitable[None]]

_BATCH = 100
_TRIES = 5
_FIRST_WAIT_SECONDS = 0.05
_OUTAGE_WAIT_SECONDS = 0.5
_REPLAY_EVERY_SECONDS = 2.0


class Consumer:
    """Feeds one service's events to its handlers.

    A batch is handled in one transaction; when that fails, its entries are taken one by one, each tried five
    times and then moved to the dead letters, so that one bad event neither blocks nor loses the others. A
    database that is away is waited for and counts as no try.
    """

    def __init__(
        self,
        name: str,
        handlers: Mapping[type[Event], Handler],
        database: Database,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self.name = name
        self._handlers = handlers
        self._database = database
        self._bus = bus
        self._clock = clock

    async def run(self) -> None:
        """Handle events for ever."""
        replayed_at = self._clock.monotonic()
        while True:
            try:
                entries = await self._bus.next_batch(self.name, _BATCH)
                if entries:
                    await self.handle(entries)
                if self._clock.monotonic() - replayed_at >= _REPLAY_EVERY_SECONDS:
                    replayed_at = self._clock.monotonic()
                    await self.replay_requested()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the bus or the database is away; nothing was settled
                log.warning("consumer_waits", consumer=self.name, error=repr(error))
                self._take_again()
                await self._clock.sleep(_OUTAGE_WAIT_SECONDS)

    def _take_again(self) -> None:
        retake = getattr(self._bus, "retake", None)
        if retake is not None:
            retake(self.name)

    async def handle(self, entries: Sequence[Entry]) -> None:
        """Handle and settle entries. Raises only when the database or the bus is away."""
        try:
            await self._attempt(entries)
        except Exception as error:
            if is_outage(error):
                raise
            for entry in entries:
                await self._handle_alone(entry)
        await self._bus.settle_after(self.name, entries)

    async def _attempt(self, entries: Sequence[Entry]) -> None:
        async with self._database.transaction() as session:
            fresh = await self._fresh(session, entries)
            for entry in entries:
                if entry.event_id in fresh:
                    fresh.discard(entry.event_id)  # the same entry twice in one batch runs once
                    await self._dispatch(session, entry)
            await self._bus.settle_within(session, self.name, entries)
        EVENTS_HANDLED.labels(self.name).inc(len(entries))

    async def _fresh(self, session: AsyncSession, entries: Sequence[Entry]) -> set[str]:
        ids = {entry.event_id for entry in entries}
        seen = await session.scalars(
            select(HandledEvent.event_id).where(
                HandledEvent.consumer == self.name, HandledEvent.event_id.in_(ids)
            )
        )
        fresh = ids - set(seen)
        if fresh:
            # Another instance with the same entry waits here for our commit and then conflicts: it retries.
            now = self._clock.now()
            await session.execute(
                insert(HandledEvent),
                [
                    {"consumer": self.name, "event_id": event_id, "handled_at": now}
                    for event_id in sorted(fresh)
                ],
            )
        return fresh

    async def _dispatch(self, session: AsyncSession, entry: Entry) -> None:
        event = decode(entry.type, entry.payload | {"event_id": entry.event_id})
        handler = self._handlers.get(type(event))
        if handler is not None:
            await handler(session, event)

    async def _handle_alone(self, entry: Entry) -> None:
        wait = _FIRST_WAIT_SECONDS
        for tries in range(1, _TRIES + 1):
            try:
                await self._attempt([entry])
            except (KeyError, ValidationError) as error:  # unreadable today is unreadable tomorrow
                await self._set_aside(entry, error)
                return
            except Exception as error:
                if is_outage(error):
                    raise
                if tries == _TRIES:
                    await self._set_aside(entry, error)
                    return
                await self._clock.sleep(wait)
                wait *= 2
            else:
                return

    async def _set_aside(self, entry: Entry, error: Exception) -> None:
        log.error("event_set_aside", consumer=self.name, type=entry.type, id=entry.event_id, exc_info=error)
        EVENTS_SET_ASIDE.labels(self.name).inc()
        now = self._clock.now()
        async with self._database.transaction() as session:
            noted = await session.execute(
                insert_ignoring_duplicates(
                    session,
                    HandledEvent.__table__,  # type: ignore[arg-type]
                    {"consumer": self.name, "event_id": entry.event_id, "handled_at": now},
                )
            )
            if rows_changed(noted):
                await session.execute(
                    insert(DeadLetter).values(
                        consumer=self.name,
                        event_id=entry.event_id,
                        type=entry.type,
                        payload=entry.payload,
                        error=f"{type(error).__name__}: {error}"[:2000],
                        failed_at=now,
                    )
                )
            await self._bus.settle_within(session, self.name, [entry])

    async def replay_requested(self) -> int:
        """Run the handlers again for dead letters whose replay operations asked for; return how many ran."""
        async with self._database.reading() as session:
            letters = (
                await session.scalars(
                    select(DeadLetter)
                    .where(
                        DeadLetter.consumer == self.name,
                        DeadLetter.replay_requested_at.is_not(None),
                        DeadLetter.replayed_at.is_(None),
                    )
                    .order_by(DeadLetter.id)
                )
            ).all()
        replayed = 0
        for letter in letters:
            try:
                async with self._database.transaction() as session:
                    claimed = await session.execute(
                        update(DeadLetter)
                        .where(DeadLetter.id == letter.id, DeadLetter.replayed_at.is_(None))
                        .values(replayed_at=self._clock.now())
                    )
                    if rows_changed(claimed):
                        await self._dispatch(session, Entry(letter.event_id, letter.type, letter.payload, 0))
                        replayed += 1
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("replay_failed", consumer=self.name, dead_letter=letter.id)
                async with self._database.transaction() as session:
                    await session.execute(
                        update(DeadLetter)
                        .where(DeadLetter.id == letter.id)
                        .values(replay_requested_at=None, error=f"{type(error).__name__}: {error}"[:2000])
                    )
        return replayed
