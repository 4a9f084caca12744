"""Owners who do not want to be called by a machine: noted with a case, lifted by a supervisor (B4).

The wish is the person's: it covers every number the registry has for them, and so every car of theirs.
Numbers are kept as blind indexes only. Nothing is ever deleted: who noted and who lifted it, when and why,
stays with the wish, and in the case's history.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Table, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.crypto import Keys
from services.common.database import rows_changed
from services.common.events import MachineCallsAllowed, MachineCallsDeclined
from services.common.http.auth import Principal
from services.common.http.paging import read_moment_cursor, write_moment_cursor
from services.common.http.problems import Problem, not_found
from services.common.ids import new_id
from services.common.phones import InvalidPhone, callable_number
from services.movecar.cases.models import Case, OwnerWish, OwnerWishNumber
from services.movecar.cases.rows import write_history
from services.movecar.cases.transitions import CaseRules

_NUMBERS = cast(Table, OwnerWishNumber.__table__)


async def decline(session: AsyncSession, rules: CaseRules, case: Case, by: Principal, note: str) -> None:
    """Note that the owner of a case does not want to be called by a machine; further calls are withheld.

    Noted again for the same owner it is only told to the case's history. Raises Problem 409 when no number
    of the owner is known.
    """
    numbers = numbers_of(rules.keys, case)
    if not numbers:
        raise Problem(409, "no_owner_found", "尚未查到车主的号码，无法登记", case_status=case.status)
    now = rules.clock.now()
    covered = await session.scalars(
        select(OwnerWishNumber.number)
        .join(OwnerWish, OwnerWish.id == OwnerWishNumber.wish_id)
        .where(OwnerWishNumber.number.in_(numbers), OwnerWish.lifted_at.is_(None))
    )
    if set(covered) != numbers:
        wish_id = new_id()
        session.add(
            OwnerWish(
                id=wish_id,
                case_id=case.id,
                asked_at=now,
                asked_by=by.name,
                note_sealed=rules.keys.seal(note, _context(wish_id)),
            )
        )
        await session.flush()
        await session.execute(
            insert(_NUMBERS), [{"wish_id": wish_id, "number": number} for number in sorted(numbers)]
        )
        await emit(
            session,
            MachineCallsDeclined(
                occurred_at=now,
                case_id=case.id,
                wish_id=wish_id,
                numbers=tuple(sorted(numbers)),
                by=by.username,
            ),
        )
    await _tell(session, rules, case, "machine_calls_declined", by, note)


async def lift(session: AsyncSession, rules: CaseRules, wish_id: str, by: Principal, note: str) -> OwnerWish:
    """Let a machine call again. Lifting it twice changes nothing and tells the caller once more.

    Raises Problem 404.
    """
    wish = await session.get(OwnerWish, wish_id)
    if wish is None:
        raise not_found("该登记")
    now = rules.clock.now()
    lifted = await session.execute(
        update(OwnerWish)
        .where(OwnerWish.id == wish_id, OwnerWish.lifted_at.is_(None))
        .values(lifted_at=now, lifted_by=by.name, lift_note_sealed=rules.keys.seal(note, _context(wish_id)))
    )
    if rows_changed(lifted):
        await session.refresh(wish)
        case = await session.get(Case, wish.case_id)
        if case is not None:
            await _tell(session, rules, case, "machine_calls_allowed", by, note)
    await emit(session, MachineCallsAllowed(occurred_at=now, case_id=wish.case_id, wish_id=wish_id))
    return wish


async def find_wishes(
    session: AsyncSession,
    keys: Keys,
    *,
    case_id: str | None,
    active: bool | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[OwnerWish], str | None]:
    """Return a page of wishes, newest first, and the cursor of the next one (None at the end).

    `case_id`: those that cover a number of that case's owner, whichever case they were noted with. Raises
    Problem 404 when there is no such case.
    """
    statement = select(OwnerWish).order_by(OwnerWish.asked_at.desc(), OwnerWish.id.desc()).limit(limit + 1)
    if case_id is not None:
        case = await session.get(Case, case_id)
        if case is None:
            raise not_found("该案件")
        covering = select(OwnerWishNumber.wish_id).where(OwnerWishNumber.number.in_(numbers_of(keys, case)))
        statement = statement.where(OwnerWish.id.in_(covering))
    if active is not None:
        statement = statement.where(
            OwnerWish.lifted_at.is_(None) if active else OwnerWish.lifted_at.is_not(None)
        )
    if cursor is not None:
        statement = statement.where(
            tuple_(OwnerWish.asked_at, OwnerWish.id) < tuple_(*read_moment_cursor(cursor))
        )
    found = list(await session.scalars(statement))
    page = found[:limit]
    more = len(found) > limit
    return page, write_moment_cursor(page[-1].asked_at, page[-1].id) if more else None


async def numbers_covered(session: AsyncSession, wishes: Sequence[OwnerWish]) -> Mapping[str, int]:
    """Return how many numbers each wish covers; no more of them is ever shown (E2)."""
    counted = await session.execute(
        select(OwnerWishNumber.wish_id, func.count().label("numbers"))
        .where(OwnerWishNumber.wish_id.in_([wish.id for wish in wishes]))
        .group_by(OwnerWishNumber.wish_id)
    )
    return {row.wish_id: row.numbers for row in counted}


def said(keys: Keys, wish: OwnerWish) -> tuple[str, str | None]:
    """Return the notes of asking and of lifting."""
    context = _context(wish.id)
    lifted = keys.open(wish.lift_note_sealed, context) if wish.lift_note_sealed is not None else None
    return keys.open(wish.note_sealed, context), lifted


def numbers_of(keys: Keys, case: Case) -> set[str]:
    """Return the blind indexes of the owner's numbers, as the caller knows them."""
    found = set()
    for sealed in case.numbers_sealed:
        try:
            found.add(keys.index("phone", callable_number(keys.open(sealed, f"case:{case.id}:owner")).digits))
        except InvalidPhone:  # it would not be called anyway
            continue
    return found


def _context(wish_id: str) -> str:
    return f"wish:{wish_id}"


async def _tell(
    session: AsyncSession, rules: CaseRules, case: Case, trigger: str, by: Principal, note: str
) -> None:
    now = rules.clock.now()
    await write_history(
        session,
        {
            "case_id": case.id,
            "at": now,
            "actor": by.name,
            "trigger": trigger,
            "from_status": case.status,
            "to_status": case.status,
            "reason": None,
            "note": note,
        },
    )
    await emit(session, *rules.news(session, case.id))
