"""Case numbers: one a case, counted within the local day, without gaps: a rollback gives its number back.

The counter's row stays locked until the transaction ends, and so every other new case waits. On PostgreSQL
the number is therefore taken by the statement that stores the case, and that should be the last one.
"""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Insert, String, Table, bindparam, func, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import local
from services.movecar.cases.models import Case, CaseNumber

_CASES = cast(Table, Case.__table__)
_NUMBERS = cast(Table, CaseNumber.__table__)


def _next_of_day(make: Any) -> Any:
    statement = make(_NUMBERS).values(day=bindparam("counted_day"), last=1)
    return statement.on_conflict_do_update(
        index_elements=[_NUMBERS.c.day], set_={"last": _NUMBERS.c.last + 1}
    ).returning(_NUMBERS.c.last)


def _numbered_insert() -> Insert:
    counted = _next_of_day(postgresql.insert).cte("counted")
    # Too many digits become ######, which is refused the second time: never a number that was cut.
    number = bindparam("number_prefix", type_=String) + func.to_char(counted.c.last, literal("FM000000"))
    values = [
        number if column.name == "number" else bindparam(column.name, type_=column.type)
        for column in _CASES.columns
    ]
    rows = select(*values).select_from(counted)
    return insert(_CASES).from_select(list(_CASES.columns), rows).returning(_CASES.c.number)


_NEXT = _next_of_day(sqlite.insert)
_INSERT = insert(_CASES)
_NUMBERED_INSERT = _numbered_insert()


async def insert_numbered(session: AsyncSession, case: Case, now: datetime) -> None:
    """Store a new case under the next number, e.g. YC20260401000001."""
    day = local(now).date()
    row = {column.name: getattr(case, column.name) for column in _CASES.columns}
    prefix = f"YC{day:%Y%m%d}"
    if session.get_bind().dialect.name == "postgresql":
        counted = {"counted_day": day, "number_prefix": prefix}
        case.number = await session.scalar(_NUMBERED_INSERT, row | counted)
        return
    last = await session.scalar(_NEXT, {"counted_day": day})
    case.number = f"{prefix}{last:06d}"
    await session.execute(_INSERT, row | {"number": case.number})
