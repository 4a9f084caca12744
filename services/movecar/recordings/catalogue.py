"""The catalogue as rows: taking recordings in, finding them (B8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.events import RecordingKept
from services.common.http.paging import read_cursor, write_cursor
from services.common.http.problems import invalid
from services.movecar.cases.models import Case
from services.movecar.people.models import Account
from services.movecar.recordings.models import Recording

_RECORDINGS = cast(Table, Recording.__table__)
_TAKE_IN = {
    name: dialect.insert(_RECORDINGS).on_conflict_do_nothing()
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What recordings are looked for; what is None does not matter. `callee` is a blind index."""

    case: str | None = None
    began_from: datetime | None = None
    began_to: datetime | None = None
    operator: str | None = None
    callee: str | None = None


async def take_in(session: AsyncSession, events: Sequence[RecordingKept], now: datetime) -> None:
    """Add recordings to the catalogue; those that are in it stay as they are."""
    rows = [
        {
            "id": event.recording_id,
            "attempt_id": event.attempt_id,
            "case_id": event.case_id,
            "operator_id": event.operator,
            "callee": event.callee,
            "started_at": event.started_at,
            "ended_at": event.ended_at,
            "seconds": event.seconds,
            "size": event.size,
            "sha256": event.sha256,
            "format": event.format,
            "path": event.path,
            "fault": event.fault,
            "kept_at": now,
        }
        for event in events
    ]
    await session.execute(_TAKE_IN[session.get_bind().dialect.name], rows)


async def find_recording(session: AsyncSession, recording_id: str) -> Recording | None:
    """Return one recording."""
    return await session.get(Recording, recording_id)


async def at_the_desk(session: AsyncSession, case_id: str) -> bool:
    """Tell whether a case was ever put before the 110 desk."""
    found = await session.scalar(select(Case.id).where(Case.id == case_id, Case.escalation_id.is_not(None)))
    return found is not None


async def find_recordings(
    session: AsyncSession, wanted: Wanted, *, limit: int, cursor: str | None
) -> tuple[list[Row[Recording, str, str]], str | None]:
    """Return a page of recordings with their cases' numbers and operators, newest first, and the next cursor.

    `case` is a case's id or number; `operator` an account's id or username.
    """
    statement = (
        select(Recording, Case.number, Case.operator)
        .join(Case, Case.id == Recording.case_id)
        .order_by(Recording.started_at.desc(), Recording.id.desc())
        .limit(limit + 1)
    )
    if wanted.case is not None:
        statement = statement.where(or_(Case.id == wanted.case, Case.number == wanted.case))
    if wanted.began_from is not None:
        statement = statement.where(Recording.started_at >= wanted.began_from)
    if wanted.began_to is not None:
        statement = statement.where(Recording.started_at < wanted.began_to)
    if wanted.operator is not None:
        named = select(Account.id).where(Account.username == wanted.operator)
        statement = statement.where(
            or_(Recording.operator_id == wanted.operator, Recording.operator_id.in_(named))
        )
    if wanted.callee is not None:
        statement = statement.where(Recording.callee == wanted.callee)
    if cursor is not None:
        statement = statement.where(tuple_(Recording.started_at, Recording.id) < tuple_(*_position(cursor)))
    found = list(await session.execute(statement))
    page = found[:limit]
    if len(found) <= limit:
        return page, None
    last = page[-1][0]
    return page, write_cursor(f"{last.started_at.isoformat()}|{last.id}")


def _position(cursor: str) -> tuple[Any, str]:
    moment, _, recording_id = read_cursor(cursor).partition("|")
    try:
        started_at = datetime.fromisoformat(moment)
    except ValueError:
        raise invalid("cursor", "游标无效，请从第一页重新开始") from None
    if started_at.tzinfo is None:
        raise invalid("cursor", "游标无效，请从第一页重新开始")
    return started_at, recording_id
