"""Writing down what the guard withheld: an outcome with a reason, and the end of the contact (B4)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.events import ContactConcluded, Event
from services.common.membership import among
from services.outbound.guard.verdict import Reason
from services.outbound.rows import CONCLUDE, CONTACTS, PROGRESS, WRITE, record_of

log = structlog.get_logger(__name__)

# A withdrawal locks the contact before its attempts, and we hold the attempts: whoever is being withdrawn
# right now is left to that, or the two would wait for each other.
_CONTACTS: Final = (
    select(CONTACTS.c.id, CONTACTS.c.outcome)
    .where(among(CONTACTS.c.id, "ids"))
    .order_by(CONTACTS.c.id)
    .with_for_update(skip_locked=True)
)


async def withhold(session: AsyncSession, refused: Sequence[tuple[Any, Reason]], now: datetime) -> int:
    """End these queued attempts, locked by this transaction, and conclude their contacts; return how many.

    Each is a row of `rows.RECORD_COLUMNS`.
    """
    ids = sorted({row.contact_id for row, _ in refused})
    contacts = {row.id: row.outcome for row in await session.execute(_CONTACTS, {"ids": ids})}
    changed: list[dict[str, Any]] = []
    concluded: list[dict[str, Any]] = []
    events: list[Event] = []
    for row, reason in refused:
        if row.contact_id not in contacts:
            continue
        record = record_of(row)
        version = record.version
        record.withhold(reason, now)
        values: dict[str, Any] = {f"new_{name}": getattr(record, name) for name in PROGRESS}
        changed.append(values | {"row_id": record.id, "row_version": version})
        events.append(record.snapshot(now))
        if contacts[record.contact_id] is None:
            concluded.append(
                {"row_id": record.contact_id, "new_outcome": "withheld", "new_concluded_at": now}
            )
            events.append(
                ContactConcluded(
                    occurred_at=now,
                    case_id=record.case_id,
                    contact_id=record.contact_id,
                    outcome="withheld",
                    reason=reason,
                )
            )
        log.warning("call_withheld", attempt=record.id, reason=reason)
    if changed:
        await session.execute(WRITE, changed)
        await emit(session, *events)
    if concluded:
        await session.execute(CONCLUDE, concluded)
    return len(changed)
