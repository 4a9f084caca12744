"""Finding cases and reading their history."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.crypto import Keys
from services.common.http.paging import read_cursor, write_cursor
from services.common.http.problems import invalid
from services.movecar.cases.models import Case, CaseHistory


async def find_cases(
    session: AsyncSession,
    keys: Keys,
    *,
    status: str | None,
    plate: str | None,
    number: str | None,
    opened_from: datetime | None,
    opened_to: datetime | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Case], str | None]:
    """Return a page of cases, newest first, and the cursor of the next one (None at the end)."""
    statement = select(Case).order_by(Case.created_at.desc(), Case.id.desc()).limit(limit + 1)
    if status is not None:
        statement = statement.where(Case.status == status)
    if plate is not None:
        statement = statement.where(Case.plate_index == keys.index("plate", plate))
    if number is not None:
        statement = statement.where(Case.number == number)
    if opened_from is not None:
        statement = statement.where(Case.created_at >= opened_from)
    if opened_to is not None:
        statement = statement.where(Case.created_at < opened_to)
    if cursor is not None:
        created_at, case_id = _read_position(cursor)
        statement = statement.where(tuple_(Case.created_at, Case.id) < tuple_(created_at, case_id))
    found = list(await session.scalars(statement))
    page = found[:limit]
    following = (
        write_cursor(f"{page[-1].created_at.isoformat()}|{page[-1].id}") if len(found) > limit else None
    )
    return page, following


def _read_position(cursor: str) -> tuple[datetime, str]:
    moment, _, case_id = read_cursor(cursor).partition("|")
    try:
        created_at = datetime.fromisoformat(moment)
    except ValueError:
        raise invalid("cursor", "游标无效，请从第一页重新开始") from None
    if created_at.tzinfo is None:
        raise invalid("cursor", "游标无效，请从第一页重新开始")
    return created_at, case_id


async def history_of(session: AsyncSession, case_id: str) -> Sequence[CaseHistory]:
    """Return what happened to a case, oldest first."""
    rows = await session.scalars(
        select(CaseHistory).where(CaseHistory.case_id == case_id).order_by(CaseHistory.id)
    )
    return rows.all()
