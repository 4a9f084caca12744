"""Events that could not be handled: set aside in a table that operations see, and run again when asked."""

from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Entry
from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates, is_outage, rows_changed
from services.common.logs import redact
from services.common.metrics import EVENTS_SET_ASIDE
from services.common.models import DeadLetter, HandledEvent

log = structlog.get_logger(__name__)

_MAX_ERROR = 2000

Dispatch = Callable[[AsyncSession, Entry], Awaitable[None]]


class DeadLetters:
    """The dead letters of one consumer."""

    def __init__(self, consumer: str, database: Database, clock: Clock) -> None:
        self._consumer = consumer
        self._database = database
        self._clock = clock

    async def set_aside(self, session: AsyncSession, entry: Entry, error: Exception) -> None:
        """Keep an entry for operations and count it as handled, in the caller's transaction."""
        log.error(
            "event_set_aside", consumer=self._consumer, type=entry.type, id=entry.event_id, exc_info=error
        )
        now = self._clock.now()
        noted = await session.execute(
            insert_ignoring_duplicates(
                session,
                HandledEvent.__table__,  # type: ignore[arg-type]
                {"consumer": self._consumer, "event_id": entry.event_id, "handled_at": now},
            )
        )
        if not rows_changed(noted):
            return  # another instance has dealt with it
        EVENTS_SET_ASIDE.labels(self._consumer).inc()
        await session.execute(
            insert(DeadLetter).values(
                consumer=self._consumer,
                event_id=entry.event_id,
                type=entry.type,
                payload=entry.payload,
                error=_describe(error),
                failed_at=now,
            )
        )

    async def replay_requested(self, dispatch: Dispatch) -> int:
        """Run those whose replay operations asked for; return how many went well.

        One that fails again stays, with its new error, until it is asked for once more.
        """
        async with self._database.reading() as session:
            letters = (
                await session.scalars(
                    select(DeadLetter)
                    .where(
                        DeadLetter.consumer == self._consumer,
                        DeadLetter.replay_requested_at.is_not(None),
                        DeadLetter.replayed_at.is_(None),
                    )
                    .order_by(DeadLetter.id)
                )
            ).all()
        replayed = 0
        for letter in letters:
            try:
                replayed += await self._replay(letter, dispatch)
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("replay_failed", consumer=self._consumer, dead_letter=letter.id)
                await self._change(letter, replay_requested_at=None, error=_describe(error))
        return replayed

    async def _replay(self, letter: DeadLetter, dispatch: Dispatch) -> int:
        async with self._database.transaction() as session:
            claimed = await session.execute(
                update(DeadLetter)
                .where(DeadLetter.id == letter.id, DeadLetter.replayed_at.is_(None))
                .values(replayed_at=self._clock.now())
            )
            if not rows_changed(claimed):
                return 0
            await dispatch(session, Entry(letter.event_id, letter.type, letter.payload, 0))
        return 1

    async def _change(self, letter: DeadLetter, **values: object) -> None:
        async with self._database.transaction() as session:
            await session.execute(update(DeadLetter).where(DeadLetter.id == letter.id).values(**values))


def _describe(error: Exception) -> str:
    """Return what went wrong as it may be stored: without personal data, and without NUL (PostgreSQL)."""
    return redact(f"{type(error).__name__}: {error}").replace("\x00", "␀")[:_MAX_ERROR]
