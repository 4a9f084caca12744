"""Forgetting what the log and the idempotency keys no longer need, so that neither grows for ever."""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists

from services.common.bus.routing import CONSUMERS, unhandled_by
from services.common.clock import Clock
from services.common.database import Database
from services.common.models import EndedSession, HandledEvent, KeptAnswer, OutboxEntry

EVENTS_FOR = timedelta(days=7)
ANSWERS_FOR = timedelta(days=2)
_EVERY_SECONDS = 3600.0


class Upkeep:
    """Prunes the kernel's tables once an hour; running twice at once does no harm."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Prune for ever."""
        while True:
            await prune(self._database, self._clock.now())
            await self._clock.sleep(_EVERY_SECONDS)


async def prune(database: Database, now: datetime) -> None:
    """Delete events that every consumer handled over a week ago, and kept answers of over two days."""
    old = now - EVENTS_FOR
    statements = (
        delete(OutboxEntry).where(
            OutboxEntry.emitted_at < old,
            OutboxEntry.position.is_not(None),
            *(~unhandled_by(consumer) for consumer in CONSUMERS),
        ),
        delete(HandledEvent).where(
            HandledEvent.handled_at < old,
            ~exists().where(OutboxEntry.event_id == HandledEvent.event_id),
        ),
        delete(KeptAnswer).where(KeptAnswer.kept_at < now - ANSWERS_FOR),
        delete(EndedSession).where(EndedSession.expires_at < now),
    )
    for statement in statements:
        async with database.transaction() as session:
            await session.execute(statement.execution_options(synchronize_session=False))
