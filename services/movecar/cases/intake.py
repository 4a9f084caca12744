"""Opening a case, or joining the open one for the same car (A1, A6)."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.events import CallMode
from services.common.http.auth import Principal
from services.common.ids import new_id
from services.movecar.cases.desk_details import tell_desk
from services.movecar.cases.machine import OPEN, deadline_of
from services.movecar.cases.models import Case, CaseJoin
from services.movecar.cases.numbers import store_numbered
from services.movecar.cases.rows import find_case, write_history
from services.movecar.cases.transitions import CaseRules
from services.movecar.plates import Color, Plate

_CASES = cast(Table, Case.__table__)
_OPEN_OF_PLATE = (
    select(_CASES.c.id)
    .where(_CASES.c.plate_index == bindparam("plate_index"), _CASES.c.status.in_(sorted(OPEN)))
    .order_by(_CASES.c.created_at)
    .limit(1)
)
_OPEN_OF_CAR = _OPEN_OF_PLATE.where(
    (_CASES.c.plate_color == bindparam("color")) | _CASES.c.plate_color.is_(None)
)


@dataclass(frozen=True, slots=True)
class Request:
    """What the operator entered, validated."""

    plate: Plate
    color: Color | None
    location: str
    situation: str
    note: str
    mode: CallMode
    requester_phone: str


async def open_case(
    session: AsyncSession, rules: CaseRules, request: Request, operator: Principal
) -> tuple[Case, bool]:
    """Return the case for a request and whether it was open already.

    Two operators at the same moment: the unique `open_key` lets one through; the other's IntegrityError makes
    the boundary try again, and then there is a case to join.
    """
    existing = await open_case_of(session, rules, request.plate.text, request.color)
    if existing is not None:
        await _join(session, rules, existing, request, operator)
        return existing, True
    now = rules.clock.now()
    case_id = new_id()
    case = Case(
        id=case_id,
        number="",  # given as it is stored
        status="looking_up",
        outcome=None,
        version=1,
        open_key=open_key(rules, request.plate.text, request.color),
        plate_sealed=rules.keys.seal(request.plate.text, f"case:{case_id}:plate"),
        plate_index=rules.keys.index("plate", request.plate.text),
        plate_color=request.color,
        location=request.location,
        situation=request.situation,
        note=request.note,
        mode=request.mode,
        requester_sealed=rules.keys.seal(request.requester_phone, f"case:{case_id}:requester"),
        requester_index=rules.keys.index("phone", request.requester_phone),
        owner_name_masked=None,
        owner_phone_masked=None,
        numbers_sealed=[],
        contact_id=None,
        contacts=0,
        attention_reason=None,
        escalation_id=None,
        escalation_reason=None,
        escalation_status=None,
        escalation_seq=None,
        operator_id=operator.account_id,
        operator=operator.name,
        seat=operator.username,
        created_at=now,
        updated_at=now,
        deadline_at=deadline_of("looking_up", now, rules.settings),
        lookup_started_at=None,
    )
    rules.want_lookup(session)
    history = {
        "case_id": case_id,
        "at": now,
        "actor": operator.name,
        "trigger": "opened",
        "from_status": None,
        "to_status": "looking_up",
        "reason": None,
        "note": request.note,
    }
    (news,) = rules.news(session, case_id)  # nobody was told of a new case before
    await store_numbered(session, case, history, news, now)
    return case, False


def open_key(rules: CaseRules, plate: str, color: str | None) -> str:
    """Return what no two open cases may share."""
    return rules.keys.index("open", f"{plate}|{color or ''}")


async def open_case_of(session: AsyncSession, rules: CaseRules, plate: str, color: str | None) -> Case | None:
    """Return the open case of a car. Without a colour on either side the plate alone decides."""
    case_id: str | None = await session.scalar(
        _OPEN_OF_PLATE if color is None else _OPEN_OF_CAR,
        {"plate_index": rules.keys.index("plate", plate)} | ({} if color is None else {"color": color}),
    )
    return None if case_id is None else await find_case(session, case_id)


async def _join(
    session: AsyncSession, rules: CaseRules, case: Case, request: Request, operator: Principal
) -> None:
    now = rules.clock.now()
    join_id = new_id()
    await session.execute(
        insert(CaseJoin).values(
            id=join_id,
            case_id=case.id,
            at=now,
            operator=operator.name,
            location=request.location,
            situation=request.situation,
            note=request.note,
            requester_sealed=rules.keys.seal(request.requester_phone, f"join:{join_id}:requester"),
            requester_index=rules.keys.index("phone", request.requester_phone),
        )
    )
    await write_history(
        session,
        {
            "case_id": case.id,
            "at": now,
            "actor": operator.name,
            "trigger": "joined",
            "from_status": case.status,
            "to_status": case.status,
            "reason": None,
            "note": request.location,
        },
    )
    await tell_desk(session, rules, case)
    await emit(session, *rules.news(session, case.id))
