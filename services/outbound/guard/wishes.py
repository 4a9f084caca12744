"""Owners who do not want to be called by a machine, as the other services tell of them (B4)."""

from typing import Final, cast

from sqlalchemy import Table, delete
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Handler
from services.common.database import insert_ignoring_duplicates
from services.common.events import Event, MachineCallsAllowed, MachineCallsDeclined
from services.outbound.models import DeclinedNumber

_DECLINED: Final = cast(Table, DeclinedNumber.__table__)


async def on_machine_calls_declined(session: AsyncSession, event: MachineCallsDeclined) -> None:
    """Withhold every call to these numbers from now on; a call that is up goes on."""
    rows = [
        {
            "callee": number,
            "wish_id": event.wish_id,
            "case_id": event.case_id,
            "asked_at": event.occurred_at,
            "asked_by": event.by,
        }
        for number in event.numbers
    ]
    if rows:
        await session.execute(insert_ignoring_duplicates(session, _DECLINED, rows))


async def on_machine_calls_allowed(session: AsyncSession, event: MachineCallsAllowed) -> None:
    """Forget the wish; its history is where it was noted."""
    await session.execute(delete(_DECLINED).where(_DECLINED.c.wish_id == event.wish_id))


TABLE: Final[dict[type[Event], Handler]] = {
    MachineCallsDeclined: on_machine_calls_declined,
    MachineCallsAllowed: on_machine_calls_allowed,
}
"""Event → what is done about it."""
