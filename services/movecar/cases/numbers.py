"""Case numbers: one a case, counted within the local day, without gaps: a rollback gives its number back.

The counter's row stays locked until the transaction ends, and so every other new case waits. On PostgreSQL
the number is therefore taken by the statement that stores the case, with all that a new case leaves behind:
that should be the transaction's last one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CTE, Select, String, Table, bindparam, func, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import entry_of
from services.common.clock import local
from services.common.events import Event
from services.common.models import OutboxEntry
from services.movecar.cases.models import Case, CaseHistory, CaseNumber

_CASES = cast(Table, Case.__table__)
_HISTORY = cast(Table, CaseHistory.__table__)
_OUTBOX = cast(Table, OutboxEntry.__table__)
_NUMBERS = cast(Table, CaseNumber.__table__)


def _next_of_day(make: Any) -> Any:
    statement = make(_NUMBERS).values(day=bindparam("counted_day"), last=1)
    return statement.on_conflict_do_update(
        index_elements=[_NUMBERS.c.day], set_={"last": _NUMBERS.c.last + 1}
    ).returning(_NUMBERS.c.last)


def _placed(table: Table, *left_out: str) -> dict[str, Any]:
    """Return a parameter for each column of a table, named after both."""
    return {
        column.name: bindparam(f"{table.name}_{column.name}", type_=column.type)
        for column in table.columns
        if column.name not in left_out
    }


def _filled(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table.name}_{name}": value for name, value in row.items()}


def _store_numbered() -> Select[Any]:
    counted = _next_of_day(postgresql.insert).cte("counted")
    # Too many digits become ######, which is refused the second time: never a number that was cut.
    number = bindparam("number_prefix", type_=String) + func.to_char(counted.c.last, literal("FM000000"))
    values = _placed(_CASES) | {"number": number}
    case: CTE = (
        insert(_CASES)
        .from_select(list(values), select(*values.values()).select_from(counted))
        .returning(_CASES.c.number)
        .cte("opened")
    )
    history = insert(_HISTORY).values(_placed(_HISTORY, "id")).cte("noted")
    news = insert(_OUTBOX).values(_placed(_OUTBOX, "id", "position")).cte("emitted")
    return select(case.c.number).add_cte(history, news)


_NEXT = _next_of_day(sqlite.insert)
_INSERTS = {table.name: insert(table) for table in (_CASES, _HISTORY, _OUTBOX)}
_STORE_NUMBERED = _store_numbered()


async def store_numbered(
    session: AsyncSession, case: Case, history: Mapping[str, Any], news: Event, now: datetime
) -> None:
    """Store a new case under the next number, e.g. YC20260401000001, with its history and what is told of it.

    `history` has every column of `case_history` but `id`.
    """
    day = local(now).date()
    prefix = f"YC{day:%Y%m%d}"
    entry = entry_of(session, news)
    row = {column.name: getattr(case, column.name) for column in _CASES.columns}
    if session.get_bind().dialect.name == "postgresql":
        values = _filled(_CASES, row) | _filled(_HISTORY, history) | _filled(_OUTBOX, entry)
        del values["cases_number"]
        case.number = await session.scalar(
            _STORE_NUMBERED, values | {"counted_day": day, "number_prefix": prefix}
        )
        return
    last = await session.scalar(_NEXT, {"counted_day": day})
    case.number = row["number"] = f"{prefix}{last:06d}"
    for table, stored in ((_CASES, row), (_HISTORY, history), (_OUTBOX, entry)):
        await session.execute(_INSERTS[table.name], stored)
