"""Writing events: one row in the caller's transaction, nothing else."""

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import EMITTED
from services.common.events import Event
from services.common.models import OutboxEntry

_INSERT = insert(OutboxEntry.__table__)  # type: ignore[arg-type]


async def emit(session: AsyncSession, *events: Event) -> None:
    """Record events in the caller's transaction; they are published after it commits, or never."""
    await session.execute(
        _INSERT,
        [
            {
                "event_id": event.event_id,
                "type": event.TYPE,
                "key": event.key,
                "payload": event.model_dump(mode="json", exclude={"event_id"}),
                "emitted_at": event.occurred_at,
            }
            for event in events
        ],
    )
    session.info[EMITTED] = True
