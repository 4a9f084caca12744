"""Connecting an owner who is on the telephone with the operator to the 110 desk's line as well."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.events import HandOverAsked
from services.common.http.auth import Principal
from services.common.http.problems import Problem
from services.movecar.cases.desk_details import AT_THE_DESK
from services.movecar.cases.models import Case, CaseAttempt
from services.movecar.cases.rows import write_history
from services.movecar.cases.transitions import CaseRules


async def hand_over(session: AsyncSession, rules: CaseRules, case: Case, operator: Principal) -> None:
    """Have the desk's line called into the conversation; the operator stays in it until he hangs up.

    The desk must have the case before it, so that it sees whom it is going to talk to. Raises Problem 409
    otherwise, and when no owner is connected to the operator now.
    """
    if case.escalation_id is None or case.status not in AT_THE_DESK:
        raise Problem(409, "not_at_the_desk", "请先将案件转110，再转接通话", case_status=case.status)
    attempt_id = await session.scalar(
        select(CaseAttempt.id).where(
            CaseAttempt.case_id == case.id,
            CaseAttempt.bridged_at.is_not(None),
            CaseAttempt.state != "ended",
        )
    )
    if attempt_id is None:
        raise Problem(409, "no_live_call", "当前没有与车主的通话，无法转接110", case_status=case.status)
    now = rules.clock.now()
    await write_history(
        session,
        {
            "case_id": case.id,
            "at": now,
            "actor": operator.name,
            "trigger": "hand_over_asked",
            "from_status": case.status,
            "to_status": case.status,
            "reason": None,
            "note": "",
        },
    )
    await emit(
        session,
        HandOverAsked(
            occurred_at=now, case_id=case.id, escalation_id=case.escalation_id, attempt_id=attempt_id
        ),
        *rules.news(session, case.id),
    )
