"""The rows of cases: read detached, written under guard, many in one statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Table, Update, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import rows_changed
from services.common.membership import among
from services.movecar.cases.models import Case, CaseHistory

_CASES = cast(Table, Case.__table__)
_ONE = select(Case).where(Case.id == bindparam("id"))
_ONE_LOCKED = _ONE.with_for_update()
# In one order everywhere, or two batches could wait for each other.
_MANY_LOCKED = select(Case).where(among(Case.id, "ids")).order_by(Case.id).with_for_update()
_LOCK = (
    select(_CASES.c.id, _CASES.c.status, _CASES.c.version)
    .where(among(_CASES.c.id, "ids"))
    .order_by(_CASES.c.id)
    .with_for_update()
)
_NEW_HISTORY = insert(cast(Table, CaseHistory.__table__))


class CaseMoved(Exception):
    """Somebody else moved the case between reading and changing it; read again."""


async def find_case(session: AsyncSession, case_id: str, *, for_update: bool = False) -> Case | None:
    """Return a case, detached from the session's own change tracking; None when there is none.

    `for_update` makes the others wait until this transaction ends (on SQLite every writer waits anyway).
    """
    case: Case | None = await session.scalar(_ONE_LOCKED if for_update else _ONE, {"id": case_id})
    if case is not None:
        session.expunge(case)
    return case


async def lock_cases(session: AsyncSession, ids: Sequence[str]) -> dict[str, Case]:
    """Return those of these cases that there are, by id, detached; the others wait as for `find_case`."""
    cases = {case.id: case for case in await session.scalars(_MANY_LOCKED, {"ids": list(ids)})}
    for case in cases.values():
        session.expunge(case)
    return cases


async def change_cases(
    session: AsyncSession, changes: Sequence[tuple[Case, Mapping[str, Any]]], *, locked: bool
) -> None:
    """Write new values into the rows of different cases, each only if it is still what was read.

    `locked`: this transaction has read and locked them, so that they are. Raises CaseMoved.
    """
    if len(changes) > 1 and not locked:
        # asyncpg does not count over many rows: lock them and compare, and the updates below all hit.
        standing = await session.execute(_LOCK, {"ids": [case.id for case, _ in changes]})
        found = {row.id: (row.status, row.version) for row in standing}
        for case, _ in changes:
            if found.get(case.id) != (case.status, case.version):
                raise CaseMoved(case.id)
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for case, values in changes:
        row = {f"new_{name}": value for name, value in values.items()}
        row |= {"row_id": case.id, "row_version": case.version}
        by_columns.setdefault(tuple(sorted(values)), []).append(row)
    for columns, rows in by_columns.items():
        changed = await session.execute(_update_of(columns), rows)
        if len(changes) == 1 and rows_changed(changed) != 1:
            raise CaseMoved(changes[0][0].id)


@lru_cache(maxsize=128)
def _update_of(columns: tuple[str, ...]) -> Update:
    """The guarded update of these columns; building it costs as much as running it.

    Every change raises the version, so it guards the status too. With the status beside it PostgreSQL may
    look for the row among all cases of that status.
    """
    return (
        update(_CASES)
        .where(_CASES.c.id == bindparam("row_id"), _CASES.c.version == bindparam("row_version"))
        .values({name: bindparam(f"new_{name}") for name in columns})
    )


async def write_history(session: AsyncSession, *rows: Mapping[str, Any]) -> None:
    """Add to the histories of cases; each row has every column but `id`."""
    await session.execute(_NEW_HISTORY, list(rows))
