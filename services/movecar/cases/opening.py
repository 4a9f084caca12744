"""Storing a new case, numbered, unless its car has an open one (A6).

Numbers are counted within the local day, without gaps: a rollback gives its number back. The counter's row
stays locked until the transaction ends, and so every other new case waits. On PostgreSQL one statement
therefore looks for the open case, takes the number and stores all that a new case leaves behind; that should
be the transaction's last one. On SQLite, which has one writer at a time anyway, they follow one another.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Table,
    bindparam,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit, entry_of
from services.common.clock import local
from services.common.events import Event
from services.common.models import OutboxEntry
from services.movecar.cases.machine import OPEN
from services.movecar.cases.models import Case, CaseHistory, CaseNumber
from services.movecar.cases.rows import write_history

_CASES = cast(Table, Case.__table__)
_HISTORY = cast(Table, CaseHistory.__table__)
_OUTBOX = cast(Table, OutboxEntry.__table__)
_NUMBERS = cast(Table, CaseNumber.__table__)

# Written out: as parameters, the list is put into the text anew each time.
_STILL_OPEN: list[ColumnElement[str]] = [literal_column(f"'{status}'") for status in sorted(OPEN)]
_OPEN_OF_PLATE = (
    select(_CASES.c.id)
    .where(_CASES.c.plate_index == bindparam("plate"), _CASES.c.status.in_(_STILL_OPEN))
    .order_by(_CASES.c.created_at)
    .limit(1)
)
_OPEN_OF_CAR = _OPEN_OF_PLATE.where(
    (_CASES.c.plate_color == bindparam("color")) | _CASES.c.plate_color.is_(None)
)


def _counting(inserted: Any) -> Any:
    return inserted.on_conflict_do_update(
        index_elements=[_NUMBERS.c.day], set_={"last": _NUMBERS.c.last + 1}
    ).returning(_NUMBERS.c.last)


def _parameters(table: Table, *left_out: str) -> dict[str, Any]:
    """Return a parameter for each column of a table, named after both."""
    return {
        column.name: bindparam(f"{table.name}_{column.name}", type_=column.type)
        for column in table.columns
        if column.name not in left_out
    }


def _filled(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table.name}_{name}": value for name, value in row.items()}


def _storing(open_case: Select[Any]) -> Select[Any]:
    standing = open_case.cte("standing")
    first = select(bindparam("day", type_=_NUMBERS.c.day.type), literal(1)).where(
        ~exists(select(standing.c.id))
    )
    counted = _counting(postgresql.insert(_NUMBERS).from_select(["day", "last"], first)).cte("counted")
    # Too many digits become ######, which is refused the second time: never a number that was cut.
    number = bindparam("prefix", type_=String) + func.to_char(counted.c.last, literal("FM000000"))
    case = _parameters(_CASES) | {"number": number}
    opened = (
        insert(_CASES)
        .from_select(list(case), select(*case.values()).select_from(counted))
        .returning(_CASES.c.number)
        .cte("opened")
    )
    left = []
    for table, unset in ((_HISTORY, ("id",)), (_OUTBOX, ("id", "position"))):
        values = _parameters(table, *unset)
        row = select(*values.values()).select_from(opened)
        left.append(insert(table).from_select(list(values), row).cte(f"into_{table.name}"))
    return select(select(standing.c.id).scalar_subquery(), select(opened.c.number).scalar_subquery()).add_cte(
        *left
    )


_STORE_OF_PLATE = _storing(_OPEN_OF_PLATE)
_STORE_OF_CAR = _storing(_OPEN_OF_CAR)
_NEXT = _counting(sqlite.insert(_NUMBERS).values(day=bindparam("day"), last=1))
_INSERT = insert(_CASES)


async def open_case_of(session: AsyncSession, plate_index: str, color: str | None) -> str | None:
    """Return the id of a car's open case. Without a colour on either side the plate alone decides."""
    found: str | None = await session.scalar(
        _OPEN_OF_PLATE if color is None else _OPEN_OF_CAR, _of_car(plate_index, color)
    )
    return found


async def store_unless_open(
    session: AsyncSession, case: Case, history: Mapping[str, Any], news: Event, now: datetime
) -> str | None:
    """Store a case under the next number, e.g. YC20260401000001, with its history and what is told of it.

    Returns the id of the open case that the car has, and stores nothing then. `history` has every column of
    `case_history` but `id`.
    """
    day = local(now).date()
    prefix = f"YC{day:%Y%m%d}"
    row = {column.name: getattr(case, column.name) for column in _CASES.columns}
    if session.get_bind().dialect.name == "postgresql":
        values = {"day": day, "prefix": prefix} | _of_car(case.plate_index, case.plate_color)
        values |= _filled(_CASES, row) | _filled(_HISTORY, history)
        values |= _filled(_OUTBOX, entry_of(session, news))
        del values["cases_number"]
        store = _STORE_OF_PLATE if case.plate_color is None else _STORE_OF_CAR
        standing, number = (await session.execute(store, values)).one()
        case.number = number or ""
        return cast(str | None, standing)
    standing = await open_case_of(session, case.plate_index, case.plate_color)
    if standing is None:
        last = await session.scalar(_NEXT, {"day": day})
        case.number = row["number"] = f"{prefix}{last:06d}"
        await session.execute(_INSERT, row)
        await write_history(session, history)
        await emit(session, news)
    return standing


def _of_car(plate_index: str, color: str | None) -> dict[str, Any]:
    return {"plate": plate_index} | ({} if color is None else {"color": color})
