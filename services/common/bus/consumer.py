"""Running handlers: each event once in effect, whole batches in one transaction, poison set aside."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import structlog
from pydantic import ValidationError
from sqlalchemy import String, Table, Text, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Bus, Entry
from services.common.bus.dead_letters import DeadLetters
from services.common.bus.routing import is_urgent
from services.common.clock import Clock
from services.common.database import Database, UtcDateTime, is_outage
from services.common.events import Event, decode
from services.common.metrics import EVENTS_HANDLED
from services.common.models import HandledEvent
from services.common.pace import Leisure, Pace

log = structlog.get_logger(__name__)

Handler = Callable[[AsyncSession, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Together:
    """A handler that takes events of its type that follow one another as a sequence, in their order.

    For types that come by the hundred: a few statements then serve them all.
    """

    handle: Callable[[AsyncSession, Sequence[Any]], Awaitable[None]]

    async def __call__(self, session: AsyncSession, event: Any) -> None:
        """Handle one event."""
        await self.handle(session, [event])


_BATCH = 100
_PACE_EACH = 0.002
_PACE_LONGEST = 0.05
_TRIES = 5
_FIRST_WAIT_SECONDS = 0.05
_OUTAGE_WAIT_SECONDS = 0.5
_REPLAY_EVERY_SECONDS = 2.0

_HANDLED = cast(Table, HandledEvent.__table__)
_NOTE_EACH = sqlite.insert(_HANDLED).on_conflict_do_nothing().returning(_HANDLED.c.event_id)
# One text whatever the number of events: with a row of VALUES for each, PostgreSQL plans every number anew.
# (TEXT, as the driver would have to ask for what an array of VARCHAR is, on every connection.)
_NOTE_ALL = (
    postgresql.insert(_HANDLED)
    .from_select(
        ["consumer", "event_id", "handled_at"],
        select(
            bindparam("name", type_=String),
            func.unnest(bindparam("ids", type_=postgresql.ARRAY(Text))),
            bindparam("now", type_=UtcDateTime),
        ),
    )
    .on_conflict_do_nothing()
    .returning(_HANDLED.c.event_id)
)


class Unreadable(Exception):
    """The payload is no event of this version: unreadable today is unreadable tomorrow."""


class Consumer:
    """Feeds one service's events to its handlers.

    A batch is handled in one transaction; when that fails, its entries are taken one by one, each tried five
    times and then moved to the dead letters, so that one bad event neither blocks nor loses the others. A
    database that is away is waited for and counts as no try. What is urgent does not wait for the rest of its
    batch: it is handled in a transaction before, with what precedes it of the same key.
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
        self._pace = Pace(_PACE_EACH, _PACE_LONGEST)
        self._leisure = Leisure()
        self._dead_letters = DeadLetters(name, database, clock)

    async def run(self) -> None:
        """Handle events for ever."""
        replayed_at = self._clock.monotonic()
        waiting = False
        while True:
            try:
                if entries := await self._gather():
                    self._pace.begin(_urgent(entries))
                    self._leisure.begin()
                    await self.handle(entries)
                    await self._pace.wait()
                if self._clock.monotonic() - replayed_at >= _REPLAY_EVERY_SECONDS:
                    replayed_at = self._clock.monotonic()
                    await self.replay_requested()
            except Exception as error:  # the bus or the database is away; nothing was settled
                if not waiting:
                    log.warning("consumer_waits", consumer=self.name, error=repr(error))
                waiting = True
                self._bus.retake(self.name)
                await self._clock.sleep(_OUTAGE_WAIT_SECONDS)
                continue
            if waiting:
                log.info("consumer_resumes", consumer=self.name)
            waiting = False

    async def _gather(self) -> list[Entry]:
        """Take what there is; while none of it is urgent, wait for more as long as it may wait."""
        entries = await self._bus.next_batch(self.name, _BATCH)
        while entries and len(entries) < _BATCH and not _urgent(entries):
            remaining = self._leisure.remaining
            if remaining <= 0:
                break
            entries += await self._bus.next_batch(self.name, _BATCH - len(entries), remaining)
        return entries

    async def handle(self, entries: Sequence[Entry]) -> None:
        """Handle and settle entries. Raises only when the database or the bus is away."""
        try:
            if first := _first(entries):
                await self._attempt(first, settling=False)
            await self._attempt(entries)
        except Exception as error:
            if is_outage(error):
                raise
            for entry in entries:
                await self._handle_alone(entry)
        await self._bus.settle_after(self.name, entries)

    async def replay_requested(self) -> int:
        """Run the handlers again for dead letters whose replay operations asked for; return how many ran."""
        return await self._dead_letters.replay_requested(self._dispatch)

    async def _attempt(self, entries: Sequence[Entry], *, settling: bool = True) -> None:
        async with self._database.transaction() as session:
            new = await self._note_new(session, entries)
            # By id: the same entry twice in one batch runs once.
            fresh = {entry.event_id: entry for entry in entries if entry.event_id in new}
            await self._run(session, [_read(entry) for entry in fresh.values()])
            if settling:
                await self._bus.settle_within(session, self.name, entries)
        EVENTS_HANDLED.labels(self.name).inc(len(fresh))

    async def _note_new(self, session: AsyncSession, entries: Sequence[Entry]) -> set[str]:
        """Note the events as handled and return the ids of those that were not.

        An instance that has the same event in hand is waited for here: one of the two gets it.
        """
        now = self._clock.now()
        # In one order everywhere, or two instances could wait for each other.
        ids = sorted({entry.event_id for entry in entries})
        if self._database.dialect == "postgresql":
            return set(await session.scalars(_NOTE_ALL, {"name": self.name, "ids": ids, "now": now}))
        rows = [{"consumer": self.name, "event_id": event_id, "handled_at": now} for event_id in ids]
        return set(await session.scalars(_NOTE_EACH, rows))

    async def _dispatch(self, session: AsyncSession, entry: Entry) -> None:
        await self._run(session, [_read(entry)])

    async def _run(self, session: AsyncSession, events: Sequence[Event]) -> None:
        for kind, run in groupby(events, type):
            match self._handlers.get(kind):
                case None:
                    pass
                case Together(handle=handle):
                    await handle(session, list(run))
                case handler:
                    for event in run:
                        await handler(session, event)

    async def _handle_alone(self, entry: Entry) -> None:
        wait = _FIRST_WAIT_SECONDS
        for tries in range(1, _TRIES + 1):
            try:
                await self._attempt([entry])
            except Exception as error:
                if is_outage(error):
                    raise
                if tries == _TRIES or isinstance(error, Unreadable):
                    await self._set_aside(entry, error)
                    return
                log.warning("event_retried", consumer=self.name, id=entry.event_id, error=repr(error))
                await self._clock.sleep(wait)
                wait *= 2
            else:
                return

    async def _set_aside(self, entry: Entry, error: Exception) -> None:
        async with self._database.transaction() as session:
            await self._dead_letters.set_aside(session, entry, error)
            await self._bus.settle_within(session, self.name, [entry])


def _first(entries: Sequence[Entry]) -> list[Entry]:
    """Return what is urgent and what precedes it of the same key; nothing where that is all there is."""
    last = {_key(entry): place for place, entry in enumerate(entries) if is_urgent(entry.type, entry.payload)}
    first = [entry for place, entry in enumerate(entries) if place <= last.get(_key(entry), -1)]
    return first if len(first) < len(entries) else []


def _key(entry: Entry) -> str:
    """What the entry is ordered by; where an event is about no case, it stands by itself."""
    return str(entry.payload.get("case_id") or entry.event_id)


def _urgent(entries: Iterable[Entry]) -> int:
    return sum(is_urgent(entry.type, entry.payload) for entry in entries)


def _read(entry: Entry) -> Event:
    try:
        return decode(entry.type, entry.payload | {"event_id": entry.event_id})
    except (KeyError, ValidationError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
