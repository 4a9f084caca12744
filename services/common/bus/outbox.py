"""Writing events: one row in the caller's transaction, nothing else."""

from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import EMITTED
from services.common.events import Event
from services.common.models import OutboxEntry

_INSERT = insert(OutboxEntry.__table__)  # type: ignore[arg-type]


async def emit(session: AsyncSession, *events: Event) -> None:
    """Record events in the caller's transaction; they are published after it commits, or never."""
    if events:
        await session.execute(_INSERT, [entry_of(session, event) for event in events])


def entry_of(session: AsyncSession, event: Event) -> dict[str, Any]:
    """Return the row of an event, for a caller whose own statement stores it in this transaction."""
    payload = event.model_dump(mode="json", exclude={"event_id"})
    session.info[EMITTED] = session.info.get(EMITTED, False) or event.is_urgent(payload)
    return {
        "event_id": event.event_id,
        "type": event.TYPE,
        "key": event.key,
        "payload": payload,
        "emitted_at": event.occurred_at,
        "places": event.places,
    }
