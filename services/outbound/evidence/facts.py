"""What is to be compared, read from the database: attempts, the switch's calls, recordings."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.membership import among, shares
from services.outbound.evidence.calls import SwitchCall, calls_of
from services.outbound.evidence.line import CallRecord, Disposition
from services.outbound.evidence.models import CallRecordSource, StoredCallRecord
from services.outbound.evidence.reconcile import DialledAttempt, Recording
from services.outbound.rows import ATTEMPTS, CONTACTS

Recordings = Callable[[AsyncSession, Collection[str]], Awaitable[Mapping[str, Recording]]]
"""Attempt ids → what became of their recordings; an attempt that is not in it has none yet."""

RECORDS: Final = cast(Table, StoredCallRecord.__table__)
SOURCES: Final = cast(Table, CallRecordSource.__table__)

ATTEMPT_COLUMNS: Final = (
    ATTEMPTS.c.id,
    CONTACTS.c.case_id,
    ATTEMPTS.c.script_version,
    ATTEMPTS.c.state,
    ATTEMPTS.c.outcome,
    ATTEMPTS.c.reason,
    ATTEMPTS.c.dialed_at,
    ATTEMPTS.c.answered_at,
    ATTEMPTS.c.ended_at,
    ATTEMPTS.c.hangup_cause,
    ATTEMPTS.c.reconciled_at,
)
_ATTEMPTS: Final = select(*ATTEMPT_COLUMNS).join_from(ATTEMPTS, CONTACTS).where(among(ATTEMPTS.c.id, "ids"))
_RECORDS_OF: Final = select(RECORDS).where(among(RECORDS.c.attempt_id, "ids"))


async def read_until(session: AsyncSession, nodes: Collection[str], now: datetime) -> datetime | None:
    """Return until when the evidence is complete: what these switches wrote by then is in the database.

    None while one of them was never read: nothing of it can be missed yet.
    """
    rows = await session.execute(select(SOURCES.c.node, SOURCES.c.read_at))
    read_at = {row.node: row.read_at for row in rows}
    moments = [read_at.get(node) for node in nodes]
    return None if None in moments else min([now, *(at for at in moments if at is not None)])


def attempt_of(row: Any) -> DialledAttempt:
    """Return the attempt of a row of `ATTEMPT_COLUMNS`."""
    return DialledAttempt(
        id=row.id,
        case_id=row.case_id,
        script_version=row.script_version,
        outcome=row.outcome,
        dialed_at=row.dialed_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        had_channel=row.answered_at is not None or row.hangup_cause is not None,
    )


def record_of(row: Any) -> tuple[str, CallRecord]:
    """Return the node and the record of a row."""
    return row.node, CallRecord(
        unique_id=row.unique_id,
        linked_id=row.linked_id,
        channel=row.channel,
        started_at=row.started_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        duration=row.duration,
        billed=row.billed,
        disposition=cast(Disposition, row.disposition),
        sequence=row.sequence,
    )


async def attempt_rows(session: AsyncSession, ids: Collection[str]) -> dict[str, Any]:
    """Return the rows of the attempts there are among these ids."""
    found: dict[str, Any] = {}
    for share in shares(ids):
        found |= {row.id: row for row in await session.execute(_ATTEMPTS, {"ids": share})}
    return found


async def calls_claiming(session: AsyncSession, ids: Collection[str]) -> list[SwitchCall]:
    """Return every call that belongs to one of these attempts or claims to."""
    records = []
    for share in shares(ids):
        rows = await session.execute(_RECORDS_OF, {"ids": share})
        records += [record_of(row) for row in rows]
    return calls_of(records)
