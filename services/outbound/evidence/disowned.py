"""Calls that the operators' side knows no case for: the worst that B4 forbids."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.common.events import CallsDisowned
from services.outbound.evidence.reconcile import Kind
from services.outbound.incidents import open_incident


async def on_calls_disowned(session: AsyncSession, event: CallsDisowned) -> None:
    """Open an incident for each; only a person can close it."""
    for call in event.calls:
        await open_incident(
            session,
            Kind.ATTEMPT_WITHOUT_CASE,
            call.attempt_id,
            event.occurred_at,
            case_id=call.case_id,
            detail={"dialed_at": call.dialed_at.isoformat()},
        )
