"""Opening a case, or joining the open one for the same car (A1, A6)."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.events import CallMode
from services.common.http.auth import Principal
from services.common.ids import new_id
from services.movecar.cases.desk_details import tell_desk
from services.movecar.cases.machine import deadline_of
from services.movecar.cases.models import Case, CaseJoin
from services.movecar.cases.opening import store_unless_open
from services.movecar.cases.rows import find_case, write_history
from services.movecar.cases.transitions import CaseRules
from services.movecar.plates import Color, Plate


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
    now = rules.clock.now()
    case_id = new_id()
    case = Case(
        id=case_id,
        number="",  # given when it is stored
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
    standing = await store_unless_open(session, case, history, news, now)
    if standing is None:
        rules.want_lookup(session)
        return case, False
    existing = cast(Case, await find_case(session, standing))
    await _join(session, rules, existing, request, operator)
    return existing, True


def open_key(rules: CaseRules, plate: str, color: str | None) -> str:
    """Return what no two open cases may share."""
    return rules.keys.index("open", f"{plate}|{color or ''}")


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
