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
    if not events:
        return
    rows: list[dict[str, Any]] = [
        {
            "event_id": event.event_id,
            "type": event.TYPE,
            "key": event.key,
            "payload": event.model_dump(mode="json", exclude={"event_id"}),
            "emitted_at": event.occurred_at,
        }
        for event in events
    ]
    await session.execute(_INSERT, rows)
    urgent = any(event.is_urgent(row["payload"]) for event, row in zip(events, rows, strict=True))
    session.info[EMITTED] = session.info.get(EMITTED, False) or urgent
