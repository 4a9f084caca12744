"""What an operator can do with a case; each is one transition with its conditions."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.common.events import EscalationReason
from services.common.http.auth import Principal
from services.common.http.problems import Problem
from services.movecar.cases.intake import open_key
from services.movecar.cases.machine import (
    ANSWER_TRIGGERS,
    ANSWERED_BY_PHONE,
    ESCALATION_OF_TRIGGER,
    IllegalTransition,
    OwnerAnswer,
    Trigger,
)
from services.movecar.cases.models import Case
from services.movecar.cases.opening import open_case_of
from services.movecar.cases.rows import find_case
from services.movecar.cases.transitions import CaseRules
from services.movecar.plates import Color, Plate

_CALLS_AFTER_STILL_BLOCKED = 2
"""The first contact and one more: then the owner has been told twice and the desk takes over."""


async def redial(session: AsyncSession, rules: CaseRules, case: Case, operator: Principal) -> None:
    """Look the plate up again and call: the operator's answer to an unknown or failed call."""
    await rules.apply(session, case, "redialled", actor=operator.name, changes={"lookup_started_at": None})


async def correct_plate(
    session: AsyncSession,
    rules: CaseRules,
    case: Case,
    operator: Principal,
    plate: Plate,
    color: Color | None,
) -> None:
    """Put the right plate, or the colour that was asked for, on a case and look it up.

    Raises Problem 409 when another open case is about that car.
    """
    plate_index = rules.keys.index("plate", plate.text)
    standing = await open_case_of(session, plate_index, color)
    if standing not in (None, case.id) and (other := await find_case(session, standing)) is not None:
        raise Problem(409, "plate_already_open", "该车牌已有未结案件", case_id=other.id, number=other.number)
    await rules.apply(
        session,
        case,
        "plate_corrected",
        actor=operator.name,
        changes={
            "plate_sealed": rules.keys.seal(plate.text, f"case:{case.id}:plate"),
            "plate_index": plate_index,
            "plate_color": color,
            "open_key": open_key(rules, plate.text, color),
            "numbers_sealed": [],
            "owner_name_masked": None,
            "owner_phone_masked": None,
            "lookup_started_at": None,
        },
    )


async def confirm_moved(session: AsyncSession, rules: CaseRules, case: Case, operator: Principal) -> None:
    """Close a case whose car has gone."""
    await rules.apply(session, case, "moved", actor=operator.name, outcome="moved")


async def still_blocked(session: AsyncSession, rules: CaseRules, case: Case, operator: Principal) -> None:
    """Call the owner once more; the next time the desk takes over."""
    again = case.contacts >= _CALLS_AFTER_STILL_BLOCKED
    trigger: Trigger = "still_blocked_again" if again else "still_blocked"
    await rules.apply(
        session,
        case,
        trigger,
        actor=operator.name,
        escalation="owner_uncooperative" if again else None,
    )


async def record_answer(
    session: AsyncSession,
    rules: CaseRules,
    case: Case,
    operator: Principal,
    answer: OwnerAnswer,
    note: str,
) -> None:
    """Take down what the owner said to the operator on the telephone (B7).

    Raises IllegalTransition where the owner was neither connected to the operator nor asked for one.
    """
    trigger = ANSWER_TRIGGERS[answer]
    if case.status == "attention" and case.attention_reason not in ANSWERED_BY_PHONE:
        raise IllegalTransition(case.status, trigger)
    await rules.apply(
        session,
        case,
        trigger,
        actor=operator.name,
        note=note,
        escalation=ESCALATION_OF_TRIGGER.get(trigger),
    )


async def withdraw(
    session: AsyncSession, rules: CaseRules, case: Case, operator: Principal, note: str
) -> None:
    """Cancel a case at the requester's wish, whatever is under way."""
    await rules.apply(session, case, "withdrawn", actor=operator.name, note=note, outcome="withdrawn")


async def escalate(
    session: AsyncSession,
    rules: CaseRules,
    case: Case,
    operator: Principal,
    reason: EscalationReason,
    note: str,
) -> None:
    """Hand a case to the 110 desk by hand (C1)."""
    await rules.apply(
        session, case, "escalated_by_operator", actor=operator.name, escalation=reason, note=note
    )
