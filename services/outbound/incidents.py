"""What a person has to look at: found by the caller's own checks, open until it is dealt with (B4, B8)."""

from datetime import datetime
from typing import Any, Final, cast

import structlog
from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.database import insert_ignoring_duplicates, rows_changed
from services.common.events import IncidentClosed, IncidentOpened
from services.common.ids import new_id
from services.outbound.models import Incident

log = structlog.get_logger(__name__)

SYSTEM: Final = "system"
"""Who closed an incident that turned out well by itself."""
_INCIDENTS: Final = cast(Table, Incident.__table__)


async def open_incident(
    session: AsyncSession,
    kind: str,
    subject: str,
    now: datetime,
    *,
    case_id: str = "",
    detail: dict[str, Any] | None = None,
) -> bool:
    """Open an incident unless the same one is open already; tell whether it is new.

    `kind` is a lowercase code, `subject` an id or a name of our own, `detail` figures and times: none of them
    may be personal data.
    """
    incident_id = new_id()
    row = {
        "id": incident_id,
        "kind": kind,
        "subject": subject,
        "detail": (detail or {}) | ({"case_id": case_id} if case_id else {}),
        "opened_at": now,
    }
    if not rows_changed(await session.execute(insert_ignoring_duplicates(session, _INCIDENTS, row))):
        return False
    await emit(
        session,
        IncidentOpened(occurred_at=now, case_id=case_id, incident_id=incident_id, kind=kind, subject=subject),
    )
    log.error("incident_opened", incident=incident_id, kind=kind, subject=subject)
    return True


async def close_incident(
    session: AsyncSession,
    kind: str,
    subject: str,
    now: datetime,
    *,
    by: str = SYSTEM,
    note: str = "",
    incident_id: str | None = None,
) -> bool:
    """Close the open incident of this kind and subject, unless it is another one than `incident_id`.

    Tell whether one was closed.
    """
    found = await session.scalar(
        select(_INCIDENTS.c.id).where(
            _INCIDENTS.c.kind == kind, _INCIDENTS.c.subject == subject, _INCIDENTS.c.closed_at.is_(None)
        )
    )
    if found is None or incident_id not in {None, found}:
        return False
    closed = await session.execute(
        update(_INCIDENTS)
        .where(_INCIDENTS.c.id == found, _INCIDENTS.c.closed_at.is_(None))
        .values(closed_at=now, closed_by=by, note=note)
    )
    if not rows_changed(closed):
        return False
    await emit(session, IncidentClosed(occurred_at=now, incident_id=found, kind=kind, subject=subject))
    log.warning("incident_closed", incident=found, kind=kind, subject=subject, by=by)
    return True
