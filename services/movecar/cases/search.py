"""Finding cases and reading their history."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.crypto import Keys
from services.common.http.paging import read_moment_cursor, write_moment_cursor
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
        statement = statement.where(tuple_(Case.created_at, Case.id) < tuple_(*read_moment_cursor(cursor)))
    found = list(await session.scalars(statement))
    page = found[:limit]
    more = len(found) > limit
    following = write_moment_cursor(page[-1].created_at, page[-1].id) if more else None
    return page, following


async def history_of(session: AsyncSession, case_id: str) -> Sequence[CaseHistory]:
    """Return what happened to a case, oldest first."""
    rows = await session.scalars(
        select(CaseHistory).where(CaseHistory.case_id == case_id).order_by(CaseHistory.id)
    )
    return rows.all()
